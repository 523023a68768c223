/** The loaded notifications of an inbox, with the marks applied, in the order of each view. */
import type { Item } from "./operations";
import { views, withMarks, type Mark, type View } from "./optimistic-marks";

const VIEWS = Object.keys(views) as View[];

/** Return the number of items with a higher sort key, in O(log n). `items` are sorted, the newest first. */
export function countNewer(items: readonly Item[], sortKey: number): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle]!.sortKey > sortKey) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Items of the hub by id. A changed item is moved to its place in the sorted lists, which are never sorted again. */
export class ItemLists {
  readonly #marks: ReadonlyMap<string, Mark>;
  readonly #items = new Map<string, Item>();
  readonly #shown = new Map<string, Item>();
  readonly #lists: Record<View, Item[]> = { ACTIVE: [], UNREAD: [], SNOOZED: [], ARCHIVED: [] };

  constructor(marks: ReadonlyMap<string, Mark>) {
    this.#marks = marks;
  }

  /** The items without marks. */
  get items(): ReadonlyMap<string, Item> {
    return this.#items;
  }

  /** The items with the marks applied. */
  get shown(): ReadonlyMap<string, Item> {
    return this.#shown;
  }

  /** Return the items of a view, newest first, down to the sort key `floor`, and the pinned ones down to `pinnedFloor`. */
  list(view: View, floor: number, pinnedFloor = floor): Item[] {
    return this.#lists[view].filter(({ sortKey, pinned }) => sortKey >= floor || (pinned && sortKey >= pinnedFloor));
  }

  set(item: Item): void {
    this.#items.set(item.id, item);
    this.update([item.id]);
  }

  delete(id: string): void {
    this.#items.delete(id);
    this.update([id]);
  }

  clear(): void {
    for (const id of this.#items.keys()) this.delete(id);
  }

  /** Apply the marks to these items again, after the items or marks were changed. */
  update(ids: Iterable<string>): void {
    for (const id of ids) {
      const item = this.#items.get(id);
      const [before, after] = [this.#shown.get(id), item && withMarks(item, this.#marks.values())];
      if (before === after) continue;
      for (const view of VIEWS) move(this.#lists[view], views[view], before, after);
      if (after) this.#shown.set(id, after);
      else this.#shown.delete(id);
    }
  }
}

/** Replace an item in a sorted list. */
function move(list: Item[], includes: (item: Item) => boolean, before: Item | undefined, after: Item | undefined): void {
  if (before && includes(before)) list.splice(list.indexOf(before, countNewer(list, before.sortKey)), 1);
  if (after && includes(after)) list.splice(countNewer(list, after.sortKey), 0, after);
}
