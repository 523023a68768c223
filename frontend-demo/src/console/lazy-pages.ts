/** The pages whose code is loaded when they are opened for the first time. */
import { html, type TemplateResult } from "lit";
import { skeleton } from "./element";
import { pageHeading } from "./parts";
import type { Route } from "./router";

interface LazyPage {
  /** The name of the page, for the title of the window. */
  readonly name: string;
  readonly load: () => Promise<unknown>;
  readonly render: (route: Route) => TemplateResult;
}

const setup = () => import("./setup/pages");

const PAGES: Record<string, LazyPage> = {
  templates: {
    name: "Templates",
    load: () => import("./templates/pages"),
    render: ({ id, params }) =>
      id || params.has("new")
        ? html`<template-page .itemId=${id} .params=${params}></template-page>`
        : html`<templates-page .params=${params}></templates-page>`,
  },
  webhooks: {
    name: "Webhooks",
    load: () => import("./webhooks/pages"),
    render: ({ id, params }) =>
      id ? html`<webhook-page .itemId=${id} .params=${params}></webhook-page>` : html`<webhooks-page></webhooks-page>`,
  },
  rules: {
    name: "Rules",
    load: () => import("./rules/pages"),
    render: ({ id, params }) =>
      id || params.has("new") ? html`<rule-page .itemId=${id} .params=${params}></rule-page>` : html`<rules-page></rules-page>`,
  },
  events: {
    name: "Events",
    load: () => import("./rules/pages"),
    render: ({ id, params }) => (id ? html`<event-page .itemId=${id}></event-page>` : html`<events-page .params=${params}></events-page>`),
  },
  topics: {
    name: "Topics",
    load: setup,
    render: ({ id, params }) =>
      id || params.has("new")
        ? html`<topic-page .itemId=${id} .params=${params}></topic-page>`
        : html`<topics-page .params=${params}></topics-page>`,
  },
  categories: {
    name: "Categories",
    load: setup,
    render: ({ id, params }) =>
      id || params.has("new") ? html`<category-page .itemId=${id}></category-page>` : html`<categories-page></categories-page>`,
  },
  suppressions: {
    name: "Suppressions",
    load: setup,
    render: ({ params }) => html`<suppressions-page .params=${params}></suppressions-page>`,
  },
  keys: { name: "Service keys", load: setup, render: () => html`<keys-page></keys-page>` },
  tenant: { name: "Look and defaults", load: setup, render: () => html`<tenant-page></tenant-page>` },
  compose: {
    name: "New send",
    load: () => import("./compose/pages"),
    render: () => html`<compose-page></compose-page>`,
  },
};

const loaded = new Set<LazyPage["load"]>();

/**
 * Return the page of a route, or undefined. Until its code is loaded, return a placeholder, and call `onLoaded` then.
 * `onFailure` is called if the code cannot be loaded.
 */
export function lazyPage(route: Route, onLoaded: () => void, onFailure: () => void): TemplateResult | undefined {
  const page = Object.hasOwn(PAGES, route.page) ? PAGES[route.page] : undefined;
  if (!page) return undefined;
  if (loaded.has(page.load)) return page.render(route);
  page.load().then(() => {
    loaded.add(page.load);
    onLoaded();
  }, onFailure);
  return html`${pageHeading(page.name)} ${skeleton()}`;
}

/** Return the name of a page, or undefined. */
export const lazyPageName = (page: string): string | undefined => (Object.hasOwn(PAGES, page) ? PAGES[page]?.name : undefined);
