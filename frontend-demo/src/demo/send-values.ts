/** The values of the send form, examples for them, and their conversion to a `SendInput`. */
import { CHANNEL_ORDER } from "./labels";
import type { Category, Channel, SendInput, Step } from "./sender-api";
import { objectOf } from "./template-data";

export const USERS = ["alice", "bob"] as const;

/** The fields have the names of the API: an error of the hub, which contains the path, is shown next to its field. */
export interface Fields {
  "content.title": string;
  "content.body": string;
  "content.markdown": boolean;
  "content.actionUrl": string;
  /** The labels of buttons, separated by commas. */
  "content.actions": string;
  "content.actor.name": string;
  "template.data": string;
  "to.topic": string;
  "to.where": string;
  /** Ids, separated by commas or spaces. */
  except: string;
  category: string;
  priority: string;
  requireAck: boolean;
  pinned: boolean;
  sendAt: string;
  expiresAt: string;
  "digest.key": string;
  "digest.window": string;
  "digest.mode": string;
  "digest.max": string;
  "digest.lookback": string;
  "digest.maxItems": string;
  collapseKey: string;
  threadKey: string;
  "throttle.key": string;
  "throttle.window": string;
  "throttle.limit": string;
}

/** How the recipients are chosen: the field of `to` and its name. */
export const RECIPIENT_KINDS = { users: "Users", topic: "Topic", where: "Filter", everyone: "Everyone" } as const;
export type RecipientKind = keyof typeof RECIPIENT_KINDS;

export interface SendValues {
  fields: Fields;
  recipients: RecipientKind;
  users: ReadonlySet<string>;
  /** Undefined means the channels of the category. */
  channels: ReadonlySet<Channel> | undefined;
  /** The key of the template. Undefined means a title and a body. */
  template: string | undefined;
  steps: readonly Step[];
}

const EMPTY: Fields = {
  "content.title": "",
  "content.body": "",
  "content.markdown": false,
  "content.actionUrl": "",
  "content.actions": "",
  "content.actor.name": "",
  "template.data": "",
  "to.topic": "",
  "to.where": '{ "attributes.team": "payments" }',
  except: "",
  category: "",
  priority: "",
  requireAck: false,
  pinned: false,
  sendAt: "",
  expiresAt: "",
  "digest.key": "",
  "digest.window": "PT10M",
  "digest.mode": "FIXED",
  "digest.max": "",
  "digest.lookback": "",
  "digest.maxItems": "",
  collapseKey: "",
  threadKey: "",
  "throttle.key": "",
  "throttle.window": "PT1H",
  "throttle.limit": "1",
};

/** What an example sets. Everything else has its default. */
export interface Example {
  fields: Partial<Fields>;
  channels?: readonly Channel[];
  steps?: readonly Step[];
}

export const EXAMPLES: readonly Example[] = [
  {
    fields: {
      category: "reviews",
      "content.title": "Carol approved your change",
      "content.body": "Retry failed payments: ready to merge.",
      "content.actionUrl": "/app/changes/412",
      "content.actions": "Merge, Not yet",
      "content.actor.name": "Carol Reed",
    },
  },
  {
    fields: {
      category: "deploys",
      "content.title": "web-9 is live",
      "content.body": "**Four changes**, two of them yours:\n\n- Retry failed payments\n- [Faster search](/app/changes/409)",
      "content.markdown": true,
      "content.actionUrl": "/app/deploys/web-9",
    },
  },
  {
    fields: {
      category: "billing",
      "content.title": "Invoice 2026-131 is ready",
      "content.body": "84.00 EUR, due in 14 days.",
      "content.actionUrl": "/app/invoices/2026-131",
    },
  },
  {
    fields: {
      category: "product",
      "content.title": "Issues have due dates now",
      "content.body": "Set a due date, and Acme reminds the assignee.",
    },
  },
  {
    fields: {
      category: "marketing",
      "content.title": "Two seats for the price of one",
      "content.body": "The offer ends this month.",
    },
  },
];

export const valuesOf = ({ fields, channels, steps = [] }: Example): SendValues => ({
  fields: { ...EMPTY, ...fields },
  recipients: "users",
  users: new Set(USERS),
  channels: channels && new Set(channels),
  template: undefined,
  steps,
});

/** A value that must be changed. `field` is its path in the API, such as `digest.window`. */
export class InvalidField extends Error {
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/** Return the input of `send`. Throws `InvalidField`. */
export function toSendInput(values: SendValues, categories: Category[]): SendInput {
  const { fields, channels, template, steps } = values;
  const to = recipientsOf(values);
  if (channels?.size === 0) throw new InvalidField("channels", "Choose at least one channel.");
  const defaults = categories.find(({ key }) => key === fields.category)?.defaultChannels ?? [];
  // With steps and without channels, the steps would be the only deliveries.
  const chosen = channels ?? (steps.length ? new Set(defaults) : undefined);
  return {
    to,
    except: exceptionsOf(values),
    category: fields.category,
    ...(template === undefined ? { content: contentOf(fields) } : { template: { key: template, data: jsonObject(fields, "template.data", "data") } }),
    priority: (fields.priority || null) as SendInput["priority"],
    channels: chosen ? (CHANNEL_ORDER as Channel[]).filter((channel) => chosen.has(channel)) : null,
    steps: steps.length ? [...steps] : null,
    requireAck: fields.requireAck,
    pinned: fields.pinned,
    sendAt: timeOf(fields.sendAt),
    expiresAt: timeOf(fields.expiresAt),
    digest: digestOf(fields),
    collapseKey: fields.collapseKey.trim() || null,
    threadKey: fields.threadKey.trim() || null,
    throttle: throttleOf(fields),
    idempotencyKey: crypto.randomUUID(), // `mutate` may send the request again
  };
}

/** Return `to` of the input. Throws `InvalidField`. */
export function recipientsOf({ fields, recipients, users }: SendValues): SendInput["to"] {
  if (recipients === "everyone") return { everyone: true };
  if (recipients === "where") return { where: jsonObject(fields, "to.where", "filter") };
  if (recipients === "topic") {
    if (!fields["to.topic"]) throw new InvalidField("to.topic", "Choose a topic.");
    return { topic: fields["to.topic"] };
  }
  if (!users.size) throw new InvalidField("to", "Choose at least one recipient.");
  return { users: [...users] };
}

/** Return the users who do not get the send. Named users are not named here. */
export function exceptionsOf({ fields, recipients }: SendValues): string[] | null {
  const ids = recipients === "users" ? [] : fields.except.split(/[\s,]+/).filter(Boolean);
  return ids.length ? ids : null;
}

/** Return the recipients as a part of a sentence. */
export function recipientsText({ fields, recipients, users }: SendValues): string {
  if (recipients === "everyone") return "everyone";
  if (recipients === "where") return "the users who match the filter";
  return recipients === "topic" ? `the topic ${fields["to.topic"]}` : [...users].join(" and ");
}

function contentOf(fields: Fields): SendInput["content"] {
  const labels = fields["content.actions"].split(",").map((label) => label.trim()).filter(Boolean);
  const actor = fields["content.actor.name"].trim();
  return {
    title: fields["content.title"].trim(),
    body: fields["content.body"].trim(),
    markdown: fields["content.markdown"],
    actionUrl: fields["content.actionUrl"].trim() || null,
    actions: labels.map((label, index) => ({ key: label.toLowerCase(), label, primary: index === 0 })),
    actor: actor ? { name: actor } : null,
  };
}

function jsonObject(fields: Fields, field: "template.data" | "to.where", name: string): object {
  try {
    return objectOf(fields[field], name);
  } catch (error) {
    throw new InvalidField(field, (error as Error).message);
  }
}

function digestOf(fields: Fields): SendInput["digest"] {
  const key = fields["digest.key"].trim();
  if (!key) return null;
  return {
    key,
    window: fields["digest.window"],
    mode: fields["digest.mode"] as "FIXED" | "SLIDING",
    max: fields["digest.mode"] === "SLIDING" ? fields["digest.max"] || null : null,
    lookback: fields["digest.lookback"] || null,
    maxItems: numberOf(fields["digest.maxItems"]),
  };
}

function throttleOf(fields: Fields): SendInput["throttle"] {
  const key = fields["throttle.key"].trim();
  return key ? { key, window: fields["throttle.window"], limit: numberOf(fields["throttle.limit"]) } : null;
}

/** Convert the value of a `datetime-local` input, which is in the time zone of the browser. */
const timeOf = (local: string): string | null => (local ? new Date(local).toISOString() : null);
const numberOf = (text: string): number | null => (text ? Number(text) : null);
