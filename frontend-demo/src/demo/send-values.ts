/** The values of the send form, examples for them, and their conversion to a `SendInput`. */
import { CHANNEL_ORDER } from "./labels";
import type { Category, Channel, SendInput, Step } from "./sender-api";
import { dataOf } from "./template-data";

export const USERS = ["alice", "bob"] as const;

/** The fields have the names of the API: an error of the hub, which contains the path, is shown next to its field. */
export interface Fields {
  "content.title": string;
  "content.body": string;
  "content.markdown": boolean;
  "content.actionUrl": string;
  "template.data": string;
  category: string;
  priority: string;
  requireAck: boolean;
  sendAt: string;
  expiresAt: string;
  "digest.key": string;
  "digest.window": string;
  "digest.mode": string;
  "digest.max": string;
  "digest.lookback": string;
  "digest.maxItems": string;
  collapseKey: string;
  "throttle.key": string;
  "throttle.window": string;
  "throttle.limit": string;
}

/** The recipient that stands for all users, alone in `recipients`. */
export const EVERYONE = "everyone";

export interface SendValues {
  fields: Fields;
  recipients: ReadonlySet<string>;
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
  "template.data": "",
  category: "",
  priority: "",
  requireAck: false,
  sendAt: "",
  expiresAt: "",
  "digest.key": "",
  "digest.window": "PT10M",
  "digest.mode": "FIXED",
  "digest.max": "",
  "digest.lookback": "",
  "digest.maxItems": "",
  collapseKey: "",
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
  recipients: new Set(USERS),
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
export function toSendInput({ fields, recipients, channels, template, steps }: SendValues, categories: Category[]): SendInput {
  if (!recipients.size) throw new InvalidField("to", "Choose at least one recipient.");
  if (channels?.size === 0) throw new InvalidField("channels", "Choose at least one channel.");
  const defaults = categories.find(({ key }) => key === fields.category)?.defaultChannels ?? [];
  // With steps and without channels, the steps would be the only deliveries.
  const chosen = channels ?? (steps.length ? new Set(defaults) : undefined);
  return {
    to: recipients.has(EVERYONE) ? { everyone: true } : { users: [...recipients] },
    category: fields.category,
    ...(template === undefined ? { content: contentOf(fields) } : { template: { key: template, data: templateData(fields) } }),
    priority: (fields.priority || null) as SendInput["priority"],
    channels: chosen ? (CHANNEL_ORDER as Channel[]).filter((channel) => chosen.has(channel)) : null,
    steps: steps.length ? [...steps] : null,
    requireAck: fields.requireAck,
    sendAt: timeOf(fields.sendAt),
    expiresAt: timeOf(fields.expiresAt),
    digest: digestOf(fields),
    collapseKey: fields.collapseKey.trim() || null,
    throttle: throttleOf(fields),
    idempotencyKey: crypto.randomUUID(), // `mutate` may send the request again
  };
}

function contentOf(fields: Fields): SendInput["content"] {
  return {
    title: fields["content.title"].trim(),
    body: fields["content.body"].trim(),
    markdown: fields["content.markdown"],
    actionUrl: fields["content.actionUrl"].trim() || null,
  };
}

function templateData(fields: Fields): unknown {
  try {
    return dataOf(fields["template.data"]);
  } catch (error) {
    throw new InvalidField("template.data", (error as Error).message);
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
