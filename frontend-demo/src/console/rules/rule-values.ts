/** The values of the form of a rule. Their names are the paths of the fields in the API, which errors name. */
import { listOf, orNull, parseJson } from "../form";
import type { Rule, RuleInput } from "./operations";

export type RecipientKind = "users" | "topic" | "everyone" | "where";

export interface RuleValues {
  readonly key: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly type: string;
  readonly source: string;
  readonly condition: string;
  readonly recipients: RecipientKind;
  readonly to: string;
  readonly except: string;
  readonly category: string;
  readonly texts: "template" | "content";
  readonly template: string;
  readonly "content.title": string;
  readonly "content.body": string;
  readonly "content.markdown": boolean;
  readonly "content.actionUrl": string;
  readonly "content.imageUrl": string;
  readonly data: string;
  readonly priority: string;
  readonly channels: readonly string[];
  readonly collapseKey: string;
  readonly tags: string;
  readonly requireAck: boolean;
  readonly after: string;
  readonly expiresIn: string;
  /** JSON, like the next two. */
  readonly steps: string;
  readonly digest: string;
  readonly "content.actions": string;
}

export const EMPTY_RULE: RuleValues = {
  key: "", name: "", enabled: true, type: "", source: "", condition: "", recipients: "users", to: "", except: "",
  category: "", texts: "content", template: "", "content.title": "", "content.body": "", "content.markdown": false,
  "content.actionUrl": "", "content.imageUrl": "", data: "", priority: "", channels: [], collapseKey: "", tags: "",
  requireAck: false, after: "", expiresIn: "", steps: "", digest: "", "content.actions": "",
};

export function toValues(rule: Rule): RuleValues {
  const { content, to } = rule;
  const kind = (["users", "topic", "everyone"] as const).find((one) => to[one]) ?? "where";
  return {
    ...EMPTY_RULE,
    key: rule.key,
    name: rule.name ?? "",
    enabled: rule.enabled,
    type: rule.type,
    source: rule.source ?? "",
    condition: rule.condition ?? "",
    recipients: kind,
    to: kind === "where" ? JSON.stringify(to.where) : kind === "everyone" ? "" : (to[kind] ?? ""),
    except: rule.except ?? "",
    category: rule.category,
    texts: rule.template ? "template" : "content",
    template: rule.template ?? "",
    "content.title": content?.title ?? "",
    "content.body": content?.body ?? "",
    "content.markdown": content?.markdown ?? false,
    "content.actionUrl": content?.actionUrl ?? "",
    "content.imageUrl": content?.imageUrl ?? "",
    "content.actions": content?.actions.length ? JSON.stringify(content.actions, null, 2) : "",
    data: rule.data ?? "",
    priority: rule.priority ?? "",
    channels: rule.channels ?? [],
    collapseKey: rule.collapseKey ?? "",
    tags: rule.tags.join(", "),
    requireAck: rule.requireAck,
    after: rule.after ?? "",
    expiresIn: rule.expiresIn ?? "",
    steps: rule.steps.length ? JSON.stringify(rule.steps, null, 2) : "",
    digest: rule.digest ? JSON.stringify(rule.digest) : "",
  };
}

/** Return the input of the API. Throw an error that names the field if a JSON text is not valid. */
export function toInput(values: RuleValues): RuleInput {
  const tags = listOf(values.tags);
  return {
    key: values.key.trim(),
    name: orNull(values.name),
    enabled: values.enabled,
    type: values.type.trim(),
    source: orNull(values.source),
    condition: orNull(values.condition),
    to: recipientsOf(values),
    except: orNull(values.except),
    category: values.category.trim(),
    template: values.texts === "template" ? orNull(values.template) : null,
    content: values.texts === "content" ? contentOf(values) : null,
    data: orNull(values.data),
    priority: (values.priority || null) as RuleInput["priority"],
    channels: (values.channels.length ? [...values.channels] : null) as RuleInput["channels"],
    collapseKey: orNull(values.collapseKey),
    tags: tags.length ? tags : null,
    requireAck: values.requireAck,
    after: orNull(values.after),
    expiresIn: orNull(values.expiresIn),
    steps: (parseJson(values.steps, "steps") ?? null) as RuleInput["steps"],
    digest: (parseJson(values.digest, "digest") ?? null) as RuleInput["digest"],
  };
}

function recipientsOf({ recipients, to }: RuleValues): RuleInput["to"] {
  if (recipients === "everyone") return { everyone: true };
  if (recipients === "where") return { where: parseJson(to, "to") ?? {} };
  return recipients === "topic" ? { topic: to.trim() } : { users: to.trim() };
}

function contentOf(values: RuleValues): NonNullable<RuleInput["content"]> {
  return {
    title: values["content.title"],
    body: values["content.body"],
    markdown: values["content.markdown"],
    actionUrl: orNull(values["content.actionUrl"]),
    imageUrl: orNull(values["content.imageUrl"]),
    actions: (parseJson(values["content.actions"], "content.actions") ?? null) as NonNullable<RuleInput["content"]>["actions"],
  };
}
