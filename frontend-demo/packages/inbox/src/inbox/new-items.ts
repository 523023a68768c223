/** New items wait while the user is in the list, because they would move the rows. */
import type { Item } from "../../../client/src/inbox";
import { countNewer } from "../../../client/src/item-lists";

export class NewItems {
  /** The number of items that wait. */
  waiting = 0;
  #newest = -Infinity; // the sort key up to which items are shown
  readonly #moved = new Set<string>();

  /** Return the items to show. `items` are sorted, the newest first. */
  shown(items: readonly Item[], isUserInList: boolean): readonly Item[] {
    const newer = items.slice(0, countNewer(items, this.#newest));
    this.waiting = 0;
    if (isUserInList && newer.length < items.length) {
      const moved = newer.filter(({ id }) => this.#moved.has(id));
      this.waiting = newer.length - moved.length;
      if (this.waiting) return [...moved, ...items.slice(newer.length)];
    } else this.#newest = items.find(({ sortKey }) => sortKey < Number.MAX_SAFE_INTEGER)?.sortKey ?? -Infinity;
    return items;
  }

  /** Return true if some of these items have not been shown yet. */
  includes(items: readonly Item[]): boolean {
    return countNewer(items, this.#newest) > 0;
  }

  /** Show all items. */
  release(): void {
    this.#newest = -Infinity;
  }

  /** An item that this user moves does not wait. */
  move(item: Item): void {
    this.#moved.add(item.id);
  }
}
