/** The GraphQL mutations for marks, such as read, archive, and snooze. */
import type { TadaDocumentNode } from "gql.tada";
import { isMarkAll, type Verb } from "./optimistic-marks";
import { Act, AllRead, AllSeen, ArchiveAll, byIds, Snooze, UndoMarkAll } from "./operations";
import type { InboxFilter } from "./types";

export interface MarkRequest {
  verb: Verb;
  ids: string[];
  until?: string;
  /** What "mark all" applies to. Default: the view ACTIVE. */
  filter?: InboxFilter;
  /** The "mark all" that this request reverts. `verb` and `ids` have the same effect on the loaded notifications. */
  undoes?: MarkRequest;
  /** The hub's token for reverting this "mark all", when it has responded. */
  undoToken?: string | null;
  /** For "act", the key of the action. */
  action?: string;
}

type Response = Record<string, { changed: number; undoToken?: string | null }>;
type Document = TadaDocumentNode<Response, Record<string, unknown>>;
export type Mutation = [Document, Record<string, unknown>];

const ROOT_FIELDS_MAX = 10; // the hub's limit per operation

export function toMutation({ verb, ids, until, action, filter, undoes }: MarkRequest): Mutation {
  if (undoes?.undoToken) return [UndoMarkAll as Document, { token: undoes.undoToken }];
  if (verb === "markAllSeen") return [AllSeen as Document, {}];
  if (verb === "markAllRead") return [AllRead as Document, { filter }];
  if (verb === "archiveAll") return [ArchiveAll as Document, { filter }];
  if (verb === "snooze") return [Snooze as Document, { ids, until }];
  if (verb === "act") return [Act as Document, { id: ids[0], key: action }];
  return [byIds[verb] as Document, { ids }];
}

/** Return a filter as a GraphQL value. Unlike JSON, names and the values of enums have no quotes. */
function toLiteral({ view = "ACTIVE", priorities = [], ...texts }: InboxFilter): string {
  const fields = JSON.stringify(texts).replace(/"(\w+)":/g, "$1:").slice(1, -1);
  return `{ view: ${view} priorities: [${priorities.join(" ")}] ${fields} }`;
}

/** Return the call of one mark in a mutation with several. */
function toField({ verb, ids, until, action, filter, undoes }: MarkRequest): string {
  if (undoes?.undoToken) return `undoMarkAll(token: ${JSON.stringify(undoes.undoToken)})`;
  if (filter) return `${verb}(filter: ${toLiteral(filter)})`;
  if (isMarkAll(verb)) return verb;
  if (verb === "act") return `act(id: ${JSON.stringify(ids[0])}, key: ${JSON.stringify(action)})`;
  return `${verb}(ids: ${JSON.stringify(ids)}${until ? ` until: ${JSON.stringify(until)}` : ""})`;
}

/** Combine marks into as few mutations as possible. The hub executes the fields of a mutation in order. */
export function batch(requests: MarkRequest[]): Mutation[] {
  const [only] = requests;
  if (only && requests.length === 1) return [toMutation(only)]; // its text may be in the hub's allowlist
  const fields = requests.map((request, n) => `m${n}: ${toField(request)} { changed }`);
  const mutations: Mutation[] = [];
  while (fields.length)
    mutations.push([`mutation Marks { ${fields.splice(0, ROOT_FIELDS_MAX).join(" ")} }` as unknown as Document, {}]);
  return mutations;
}
