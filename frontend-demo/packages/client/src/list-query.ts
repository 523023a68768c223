/** The lists of an inbox: its views, and the notifications of a view that match a filter. */
import type { Item } from "./operations";
import type { View } from "./optimistic-marks";
import type { InboxFilter } from "./types";

/** The hub selects the notifications of its pages. `includes` selects those that the feed delivers. */
export interface FilteredList {
  view: View;
  filter: InboxFilter;
  includes(item: Item): boolean;
  /** For a search, the ids of the notifications that the hub found. The hub also finds variants of letters. */
  found?: Set<string>;
}

export type ListQuery = View | FilteredList;

/** What is loaded of a list. */
export interface List {
  state: "new" | "loading" | "ready" | "failed";
  /** The lowest sort key that is listed. Items with a lower key may be missing. */
  floor: number;
  after: string | null;
  more: boolean;
}

export const emptyList = (): List => ({ state: "new", floor: Infinity, after: null, more: true });

const folded = (text: string): string => text.normalize("NFKC").toLowerCase();

/** Return the list of the notifications that match a filter. An empty part of a filter selects all notifications. */
export function filteredList(filter: InboxFilter): FilteredList {
  const { view = "ACTIVE", categories, tags, priorities, pinned, search } = filter;
  const words = folded(search ?? "").split(/\s+/).filter(Boolean);
  const found = words.length ? new Set<string>() : undefined;
  const isIn = <Value>(values: readonly Value[] | undefined, own: readonly Value[]): boolean =>
    !values?.length || own.some((value) => values.includes(value));
  const includes = (item: Item): boolean =>
    isIn(categories, [item.category]) &&
    isIn(priorities, [item.priority]) &&
    isIn(tags, item.tags) &&
    pinned !== !item.pinned && // also if the filter does not name it
    (!found || found.has(item.id) || words.every((word) => folded(`${item.title}\n${item.body}`).includes(word)));
  return { view, filter: { ...filter, view }, includes, found };
}

/** The pinned notifications of the inbox, of which at most `PINNED_MAX` are shown above the others. */
export const PINNED = filteredList({ pinned: true });
export const PINNED_MAX = 20;

export const viewOf = (query: ListQuery): View => (typeof query === "string" ? query : query.view);
