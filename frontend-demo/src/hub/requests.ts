/** How marks are asked of the hub. */
import type { TadaDocumentNode } from "gql.tada";
import type { Verb } from "./marks";
import { AllRead, AllSeen, byIds, Snooze } from "./operations";

export interface Wish {
  verb: Verb;
  ids: string[];
  until?: string;
}

export type Request = [TadaDocumentNode<Record<string, { changed: number }>, Record<string, unknown>>, Record<string, unknown>];

const ROOT_FIELDS_MAX = 10; // the hub takes no more in one operation

export function requestOf({ verb, ids, until }: Wish): Request {
  if (verb === "markAllSeen") return [AllSeen as Request[0], {}];
  if (verb === "markAllRead") return [AllRead as Request[0], {}];
  if (verb === "snooze") return [Snooze as Request[0], { ids, until }];
  return [byIds[verb] as Request[0], { ids }];
}

/** As few requests as may be: the hub carries out the fields of one mutation one after the other. */
export function together(wishes: Wish[]): Request[] {
  const [only] = wishes;
  if (only && wishes.length === 1) return [requestOf(only)]; // as the hub may have it in its list
  const fields = wishes.map(({ verb, ids, until }, n) => {
    const when = until ? ` until: ${JSON.stringify(until)}` : "";
    return `m${n}: ${verb}${ids.length ? `(ids: ${JSON.stringify(ids)}${when})` : ""} { changed }`;
  });
  const requests: Request[] = [];
  while (fields.length)
    requests.push([`mutation Marks { ${fields.splice(0, ROOT_FIELDS_MAX).join(" ")} }` as unknown as Request[0], {}]);
  return requests;
}
