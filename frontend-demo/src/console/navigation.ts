/** The pages of the navigation, in groups. Narrow windows show the first group; the page `more` lists all. */
import { html, nothing } from "lit";
import { icon, pageHeading } from "./parts";
import { may } from "./roles";
import { address } from "./router";

interface Page {
  /** The first part of the address. Empty for the first page. */
  readonly to: string;
  readonly name: string;
  readonly icon: string;
  readonly text: string;
  /** The letter that opens the page after `g`. */
  readonly key: string;
}

/** The pages that not every role may read, with the least role. */
const LEAST_ROLE: Record<string, "support" | "operator" | "service" | "admin"> = {
  compose: "service", templates: "support", rules: "support", events: "support", webhooks: "admin",
  suppressions: "support", keys: "admin", tenant: "operator", audit: "admin",
};
const readable = ({ to }: Page): boolean => may(LEAST_ROLE[to] ?? "viewer");

const page = (to: string, name: string, key: string, text: string, path: string): Page => ({ to, name, key, text, icon: path });

const GROUPS: readonly (readonly [name: string, pages: readonly Page[]])[] = [
  ["", [
    page("", "Overview", "h", "What was delivered, what failed, and why.", "M3 8.5 9 3.25l6 5.25v5.75a.75.75 0 0 1-.75.75H11v-4H7v4H3.75a.75.75 0 0 1-.75-.75Z"),
    page("deliveries", "Deliveries", "a", "Everything that was sent, with filters and replay.", "M2.75 4.5h12.5v9H2.75Zm0 .5L9 10l6.25-5"),
    page("sends", "Sends", "s", "Progress, pause, cancel, and recall.", "M15.5 2.5 2.5 7.5l5 2.5 2.5 5.5Zm0 0-8 7.5"),
    page("queue", "Queue", "q", "Due deliveries, providers, and workers.", "M3 4.5h12M3 9h8M3 13.5h5"),
  ]],
  ["Content", [
    page("compose", "New send", "n", "To users, a topic, everyone, or a filter.", "M3 15l.75-3.25 8-8a1.77 1.77 0 0 1 2.5 2.5l-8 8Zm8-10.5 2.5 2.5"),
    page("templates", "Templates", "t", "Texts by language and channel, with a preview.", "M3 3.25h12v3H3Zm0 6h5v5.5H3Zm8 0h4m-4 2.75h4m-4 2.75h4"),
    page("categories", "Categories", "c", "What users can turn off, with channels and priority.", "M3 3h5v5H3Zm7 0h5v5h-5ZM3 10h5v5H3Zm7 0h5v5h-5Z"),
    page("topics", "Topics", "o", "Subscriptions of users.", "M9.5 2.75h5.75V8.5L8.5 15.25 2.75 9.5ZM12.5 5.5h.01"),
  ]],
  ["Automation", [
    page("rules", "Rules", "r", "Events that become sends, with a test.", "M4.5 3v8m0 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4Zm9-8a2 2 0 1 0 0 4 2 2 0 0 0 0-4Zm0 4c0 3-4.5 2.5-7 5"),
    page("events", "Events", "e", "What your systems published, and what rules made of it.", "M9.75 2.5 4 10h4.5l-.75 5.5L13.5 8H9Z"),
    page("webhooks", "Webhooks", "w", "Calls to your systems: responses, attempts, replay.", "M7 11 5 13a2.83 2.83 0 0 1-4 0m10-6 2-2a2.83 2.83 0 0 0-4-4L7 3m0 8 4-4"),
  ]],
  ["Administration", [
    page("suppressions", "Suppressions", "x", "Addresses that bounced or complained; lift one.", "M9 2.75a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5ZM4.6 4.6l8.8 8.8"),
    page("keys", "Service keys", "y", "Create and revoke credentials of back ends.", "M6 6.25a3.25 3.25 0 1 0 0 6.5 3.25 3.25 0 0 0 0-6.5Zm2.3 1 6.2-4.5m-2 1.5 1.75 2.25"),
    page("tenant", "Look and defaults", "d", "Name, logo, and color in emails; language and time zone.", "M9 2.75a6.25 6.25 0 1 0 0 12.5c1 0 1.5-.75 1.5-1.5s-.5-1.25-.5-2 .5-1.25 1.5-1.25h1.75c1.25 0 2-.9 2-2C15.25 5.25 12.5 2.75 9 2.75ZM6 8h.01M8 5.75h.01M11.5 6h.01"),
    page("audit", "Audit log", "l", "Changes of configuration and people, with their authors.", "M5 2.75h8a1 1 0 0 1 1 1v10.5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V3.75a1 1 0 0 1 1-1Zm2 3.5h4M7 9h4m-4 2.75h2"),
  ]],
];
const MORE = page("more", "More", "m", "", "M4 9h.01M9 9h.01M14 9h.01");

/** The pages that `g` and a letter open. */
export const PAGE_KEYS: Record<string, readonly [page: string, name: string]> = Object.fromEntries(
  [...GROUPS.flatMap(([, pages]) => pages), { ...MORE, name: "all pages" }].map(({ key, to, name }) => [key, [to, name]]),
);

/** The groups with the pages that the role of the token may read. */
const readableGroups = () =>
  GROUPS.map(([name, pages]) => [name, pages.filter(readable)] as const).filter(([, pages]) => pages.length);

/** Return the navigation, in which `current` is the first part of the address. */
export function navigation(current: string) {
  const inFirstGroup = GROUPS[0]?.[1].some(({ to }) => to === current);
  return html`<nav class="side" aria-label="Console">
    ${readableGroups().map(([name, pages]) =>
      name
        ? html`<div class="nav-group"><h2 id="nav-${name}">${name}</h2>${pages.map((one) => link(one, current === one.to))}</div>`
        : pages.map((one) => link(one, current === one.to)),
    )}
    <div class="nav-more">${link(MORE, !inFirstGroup)}</div>
  </nav>`;
}

const link = ({ to, name, icon: path }: Page, isCurrent: boolean) =>
  html`<a href=${address(to)} aria-current=${isCurrent ? "page" : nothing}>${icon(path)}<span>${name}</span></a>`;

/** Return the page that lists all pages. */
export const morePage = () => html`${pageHeading("All pages")}
  ${readableGroups().map(
    ([name, pages]) => html`<section class="pages">
      <h2>${name || "Support and operations"}</h2>
      <ul class="results">
        ${pages.map(
          (one) => html`<li data-row>
            ${icon(one.icon)}<a data-main href=${address(one.to)}>${one.name}</a> <span class="quiet">${one.text}</span>
          </li>`,
        )}
      </ul>
    </section>`,
  )}`;
