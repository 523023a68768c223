/** The texts that a person edits, and their conversion from and to the API. */
import { linesOf, orNull, parseJson } from "../form";
import type { Channel, Template, TemplateInput } from "./operations";

export interface ButtonDraft {
  readonly key: string;
  readonly label: string;
  readonly url: string;
  readonly primary: boolean;
}

export interface Draft {
  readonly key: string;
  readonly locale: string;
  /** "" for all channels without texts of their own. */
  readonly channel: Channel | "";
  readonly subject: string;
  readonly title: string;
  readonly body: string;
  readonly markdown: boolean;
  readonly html: string;
  readonly preheader: string;
  readonly actionUrl: string;
  readonly imageUrl: string;
  readonly actions: readonly ButtonDraft[];
  readonly whatsappContentSid: string;
  /** One text per line. */
  readonly whatsappVariables: string;
  readonly note: string;
  /** The data of the preview, as JSON. */
  readonly sample: string;
}

export const EMPTY_DRAFT: Draft = {
  key: "", locale: "en", channel: "", subject: "", title: "", body: "", markdown: false, html: "", preheader: "",
  actionUrl: "", imageUrl: "", actions: [], whatsappContentSid: "", whatsappVariables: "", note: "", sample: "{}",
};

/** Names that the hub sets, which the data of a send does not contain. */
const HUB_NAMES = ["user", "tenant", "notification", "enriched", "items", "count"];

/** The sample data that a person wrote, by the key of the template. */
export const samples = new Map<string, string>();

export function toDraft(texts: Template): Draft {
  const { key, locale, channel, body, markdown } = texts;
  return {
    key, locale, channel: channel ?? "", body, markdown,
    subject: texts.subject ?? "",
    title: texts.title ?? "",
    html: texts.html ?? "",
    preheader: texts.preheader ?? "",
    actionUrl: texts.actionUrl ?? "",
    imageUrl: texts.imageUrl ?? "",
    actions: texts.actions.map(({ key: name, label, url, primary }) => ({ key: name, label, url: url ?? "", primary })),
    whatsappContentSid: texts.whatsappContentSid ?? "",
    whatsappVariables: texts.whatsappVariables.join("\n"),
    note: "",
    sample: samples.get(key) ?? JSON.stringify(sampleFor(texts.variables), null, 2),
  };
}

/** Return the input of the API, without `note` and `sample`. */
export function toTexts(draft: Draft): TemplateInput {
  return {
    key: draft.key.trim(),
    locale: orNull(draft.locale) ?? "en",
    channel: draft.channel || null,
    subject: orNull(draft.subject),
    title: orNull(draft.title),
    body: draft.body,
    markdown: draft.markdown,
    html: orNull(draft.html),
    preheader: orNull(draft.preheader),
    actionUrl: orNull(draft.actionUrl),
    imageUrl: orNull(draft.imageUrl),
    actions: draft.actions.map(({ url, ...action }) => ({ ...action, url: orNull(url) })),
    whatsappContentSid: orNull(draft.whatsappContentSid),
    whatsappVariables: linesOf(draft.whatsappVariables),
  };
}

/** Return the sample data. Throw an error that names the field. */
export const sampleOf = (draft: Draft): unknown => parseJson(draft.sample, "sample") ?? {};

/** Return data with a text for each name that the texts read, such as `data.order.id` or `order.id`. */
export function sampleFor(variables: readonly string[]): Record<string, unknown> {
  const sample: Record<string, unknown> = {};
  for (const variable of variables) {
    const path = variable.replace(/^data\./, "").split(/[.[\]]+/).filter(Boolean);
    const [first = "", ...rest] = path;
    if (!first || first === "data" || (HUB_NAMES.includes(first) && !variable.startsWith("data."))) continue;
    let at = sample;
    for (const name of path.slice(0, -1)) {
      if (typeof at[name] !== "object") at[name] = {};
      at = at[name] as Record<string, unknown>;
    }
    const last = path[path.length - 1] ?? first;
    at[last] ??= rest.length ? last : first;
  }
  return sample;
}

const drafts = new Map<string, Draft>();
const keyOf = ({ key, locale, channel }: Pick<Draft, "key" | "locale" | "channel">) => JSON.stringify([key, locale, channel]);

/** The texts with unsaved changes. They are kept until the tab is closed. */
export const unsaved = {
  get: (of: Pick<Draft, "key" | "locale" | "channel">): Draft | undefined => drafts.get(keyOf(of)),
  set: (draft: Draft): void => void drafts.set(keyOf(draft), draft),
  delete: (of: Pick<Draft, "key" | "locale" | "channel">): void => void drafts.delete(keyOf(of)),
};

/** New texts that are not saved, by the key of the template, or by "" if they are of a new template. */
export const unsavedNew = new Map<string, Draft>();

addEventListener("beforeunload", (event) => {
  if (drafts.size || unsavedNew.size) event.preventDefault();
});
