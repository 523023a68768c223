/** The values of the form. Their names are the paths of the fields in the API, which errors name. */
import { HubError } from "../../../packages/client/src/errors";
import { linesOf, orNull, parseJson } from "../form";
import type { SendInput } from "./operations";

export type RecipientKind = "users" | "topic" | "everyone" | "where";

export interface SendValues {
  readonly recipients: RecipientKind;
  readonly to: string;
  readonly except: string;
  readonly category: string;
  readonly texts: "content" | "template";
  readonly "content.title": string;
  readonly "content.body": string;
  readonly "content.markdown": boolean;
  readonly "content.actionUrl": string;
  readonly "content.imageUrl": string;
  readonly "template.key": string;
  readonly "template.data": string;
  readonly channels: readonly string[];
  readonly priority: string;
  readonly sendAt: string;
  readonly expiresAt: string;
  readonly collapseKey: string;
  readonly requireAck: boolean;
}

export const EMPTY_SEND: SendValues = {
  recipients: "users", to: "", except: "", category: "", texts: "content", "content.title": "", "content.body": "",
  "content.markdown": false, "content.actionUrl": "", "content.imageUrl": "", "template.key": "", "template.data": "{}",
  channels: [], priority: "", sendAt: "", expiresAt: "", collapseKey: "", requireAck: false,
};

/** Return the input of the API. Throw an error that names the field if a text is not valid. */
export function toInput(values: SendValues, idempotencyKey: string): SendInput {
  const except = linesOf(values.except);
  return {
    to: recipientsOf(values),
    except: except.length ? except : null,
    category: values.category.trim(),
    content:
      values.texts === "content"
        ? {
            title: values["content.title"],
            body: values["content.body"],
            markdown: values["content.markdown"],
            actionUrl: orNull(values["content.actionUrl"]),
            imageUrl: orNull(values["content.imageUrl"]),
          }
        : null,
    template:
      values.texts === "template"
        ? { key: values["template.key"].trim(), data: parseJson(values["template.data"], "template.data") ?? null }
        : null,
    channels: (values.channels.length ? [...values.channels] : null) as SendInput["channels"],
    priority: (values.priority || null) as SendInput["priority"],
    sendAt: timeOf(values.sendAt),
    expiresAt: timeOf(values.expiresAt),
    collapseKey: orNull(values.collapseKey),
    requireAck: values.requireAck,
    idempotencyKey,
  };
}

function recipientsOf({ recipients, to }: SendValues): SendInput["to"] {
  if (recipients === "everyone") return { everyone: true };
  if (recipients === "topic") return { topic: to.trim() };
  if (recipients === "users") return { users: linesOf(to) };
  const filter = parseJson(to, "to");
  if (filter === undefined) throw new HubError("Write a filter. To send to all users, choose everyone.", "BAD_USER_INPUT", "input.to");
  return { where: filter };
}

/** Return a local time, such as 2026-12-24T09:00, as an instant. */
const timeOf = (local: string): string | null => (local ? new Date(local).toISOString() : null);
