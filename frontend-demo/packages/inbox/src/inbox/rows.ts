/** The rows of the list: the pinned notifications, and then the others below the headings of their days. */
import { html, nothing, type TemplateResult } from "lit";
import type { Item } from "../../../client/src/inbox";
import { PINNED_MAX } from "../../../client/src/list-query";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";

export interface Row {
  id: string;
  item: Item;
  /** The older notifications of the thread, if this row is the newest one. */
  others: readonly Item[];
  /** True for the older notifications of a thread that is open. */
  isNested?: boolean;
  /** True if it is above the others. Such a row is not a thread. */
  isPinned?: boolean;
}

export const toRow = (item: Item): Row => ({ id: item.id, item, others: [] });

/** Return the rows of the pinned items, and then those of the others. */
export function pinnedFirst(items: readonly Item[], toRows: (others: readonly Item[]) => Row[]): Row[] {
  const pinned = items.filter((item) => item.pinned).slice(0, PINNED_MAX);
  return [...pinned.map((item) => ({ ...toRow(item), isPinned: true })), ...toRows(items.filter((item) => !pinned.includes(item)))];
}

const startOfDay = (at: string): number => new Date(at).setHours(0, 0, 0, 0);

/** Return the day under which an item is listed. A snoozed item that has returned is listed with the newer ones below it. */
function dayOf(items: readonly Item[], index: number): number {
  const [item, next] = [items[index], items[index + 1]];
  const day = item ? startOfDay(item.createdAt) : NaN;
  return next && startOfDay(next.createdAt) > day ? dayOf(items, index + 1) : day;
}

/** The items of the rows that a heading of a day can precede. */
export const itemsOfDays = (rows: readonly Row[]): Item[] =>
  rows.filter(({ isNested, isPinned }) => !isNested && !isPinned).map(({ item }) => item);

/** Return the heading of the row if it is the first one that is pinned, or the first one of its day. */
export function rowHeading(row: Row, isFirst: boolean, items: readonly Item[], i18n: I18n<Messages>, now: number): TemplateResult | typeof nothing {
  const index = items.indexOf(row.item);
  const [day, before] = [dayOf(items, index), dayOf(items, index - 1)];
  const hasHeading = row.isPinned ? isFirst : !row.isNested && day !== before;
  return hasHeading ? html`<h3 part="day">${row.isPinned ? i18n.t("pinned") : i18n.day(day, now)}</h3>` : nothing;
}
