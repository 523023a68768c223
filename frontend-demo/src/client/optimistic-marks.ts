/** The effects of marks on notifications, which are shown before the hub responds. */
import type { byIds, InboxEvent, Item } from "./operations";

export type Verb = keyof typeof byIds | "snooze" | "markAllSeen" | "markAllRead";
export type View = "ACTIVE" | "UNREAD" | "SNOOZED" | "ARCHIVED";

/** A mark from this tab or another tab that the feed has not yet delivered. */
export interface Mark {
  key: string;
  verb: Verb;
  /** The notifications that the mark applies to. For "mark all", each tab adds the notifications that it has loaded. */
  ids: string[];
  at: string;
  until?: string;
  /** For "mark all", the number of notifications that are not loaded and that the mark removes from each count. */
  unread: number;
  unseen: number;
  /** The generation of the inbox in which a tab added the mark. */
  generation?: number;
}

export type Count = "unread" | "unseen";

const isActive = (item: Item): boolean => !item.archivedAt && !item.snoozedUntil;

export const views: Record<View, (item: Item) => boolean> = {
  ACTIVE: isActive,
  UNREAD: (item) => isActive(item) && !item.readAt,
  SNOOZED: (item) => !!item.snoozedUntil && !item.archivedAt,
  ARCHIVED: (item) => !!item.archivedAt,
};

export const isUnread = views.UNREAD;
/** A read notification is also seen. */
export const isUnseen = (item: Item): boolean => isUnread(item) && !item.seenAt;

const counts: Record<Count, (item: Item) => boolean> = { unread: isUnread, unseen: isUnseen };

const seen = (item: Item, at: string): Item => ({ ...item, seenAt: item.seenAt ?? at });
const read = (item: Item, at: string): Item => ({ ...seen(item, at), readAt: item.readAt ?? at });

const effects: Record<Verb, (item: Item, mark: Mark) => Item> = {
  markRead: (item, { at }) => read(item, at),
  markUnread: (item) => ({ ...item, readAt: null }),
  archive: (item, { at }) => ({ ...item, archivedAt: item.archivedAt ?? at, snoozedUntil: null }),
  unarchive: (item) => ({ ...item, archivedAt: null }),
  snooze: (item, { until }) => ({ ...item, snoozedUntil: until ?? null, archivedAt: null }),
  unsnooze: (item) => (item.snoozedUntil ? { ...item, snoozedUntil: null, sortKey: Number.MAX_SAFE_INTEGER } : item),
  acknowledge: (item, { at }) =>
    item.requireAck ? { ...read(item, at), acknowledgedAt: item.acknowledgedAt ?? at } : item,
  markAllSeen: (item, { at }) => (isActive(item) ? seen(item, at) : item),
  markAllRead: (item, { at }) => (isActive(item) ? read(item, at) : item),
};

export const withMark = (item: Item, mark: Mark): Item => effects[mark.verb](item, mark);

/** Return true if the mark no longer changes the item because the feed has delivered its effect. */
export function isApplied(item: Item, mark: Mark): boolean {
  const after = withMark(item, mark);
  return (
    after.sortKey === item.sortKey &&
    !after.seenAt === !item.seenAt &&
    !after.readAt === !item.readAt &&
    !after.archivedAt === !item.archivedAt &&
    !after.acknowledgedAt === !item.acknowledgedAt &&
    Date.parse(after.snoozedUntil ?? "0") === Date.parse(item.snoozedUntil ?? "0")
  );
}

/** Return the item with all marks applied in the order in which they were made. */
export function withMarks(item: Item, marks: Iterable<Mark>): Item {
  let result = item;
  for (const mark of marks) if (mark.ids.includes(item.id)) result = withMark(result, mark);
  return result;
}

/** Return the hub's count with all marks applied. The difference is computed with the loaded items. */
export function countWithMarks(hubCount: number, count: Count, items: ReadonlyMap<string, Item>, marks: readonly Mark[]): number {
  let sum = hubCount;
  for (const mark of marks) sum -= mark[count];
  for (const id of new Set(marks.flatMap((mark) => mark.ids))) {
    const item = items.get(id);
    if (item) sum += Number(counts[count](withMarks(item, marks))) - Number(counts[count](item));
  }
  return Math.max(0, sum);
}

/** Add the ids and counts to a "mark all" for the items that this tab has loaded. */
export function fillMarkAll(mark: Mark, hubCounts: Record<Count, number>, items: ReadonlyMap<string, Item>, marks: readonly Mark[]): void {
  const current = [...items.values()].map((item) => withMarks(item, marks));
  const notLoaded = (count: Count) =>
    Math.max(0, countWithMarks(hubCounts[count], count, items, marks) - current.filter(counts[count]).length);
  mark.ids = current.filter(isActive).map((item) => item.id);
  mark.unread = mark.verb === "markAllRead" ? notLoaded("unread") : 0;
  mark.unseen = notLoaded("unseen");
}

type BulkKind = "ALL_SEEN" | "ALL_READ" | "ALL_ARCHIVED";

export const isBulk = (kind: InboxEvent["kind"]): kind is BulkKind => kind.startsWith("ALL_");

/** Return true if a bulk event includes the effect of a mark with this verb. */
export const supersedes = (kind: BulkKind, verb: Verb): boolean =>
  verb === "markAllSeen" || (verb === "markAllRead" && kind !== "ALL_SEEN");

/** Return the state of the item after a bulk event. */
export function applyBulkEvent(item: Item, kind: BulkKind, at: string): Item {
  if (!isActive(item)) return item;
  if (kind === "ALL_SEEN") return seen(item, at);
  return kind === "ALL_READ" ? read(item, at) : { ...item, archivedAt: at };
}
