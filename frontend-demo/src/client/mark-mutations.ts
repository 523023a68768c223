/** The GraphQL mutations for marks, such as read, archive, and snooze. */
import type { TadaDocumentNode } from "gql.tada";
import type { Verb } from "./optimistic-marks";
import { AllRead, AllSeen, byIds, Snooze } from "./operations";

export interface MarkRequest {
  verb: Verb;
  ids: string[];
  until?: string;
}

type Document = TadaDocumentNode<Record<string, { changed: number }>, Record<string, unknown>>;
export type Mutation = [Document, Record<string, unknown>];

const ROOT_FIELDS_MAX = 10; // the hub's limit per operation

export function toMutation({ verb, ids, until }: MarkRequest): Mutation {
  if (verb === "markAllSeen") return [AllSeen as Document, {}];
  if (verb === "markAllRead") return [AllRead as Document, {}];
  if (verb === "snooze") return [Snooze as Document, { ids, until }];
  return [byIds[verb] as Document, { ids }];
}

/** Combine marks into as few mutations as possible. The hub executes the fields of a mutation in order. */
export function batch(requests: MarkRequest[]): Mutation[] {
  const [only] = requests;
  if (only && requests.length === 1) return [toMutation(only)]; // its text may be in the hub's allowlist
  const fields = requests.map(({ verb, ids, until }, n) => {
    const untilArgument = until ? ` until: ${JSON.stringify(until)}` : "";
    return `m${n}: ${verb}${ids.length ? `(ids: ${JSON.stringify(ids)}${untilArgument})` : ""} { changed }`;
  });
  const mutations: Mutation[] = [];
  while (fields.length)
    mutations.push([`mutation Marks { ${fields.splice(0, ROOT_FIELDS_MAX).join(" ")} }` as unknown as Document, {}]);
  return mutations;
}
