/** The effects of marks on notifications, which are shown before the hub responds. */
import type { byIds, InboxEvent, Item } from "./operations";

type BulkVerb = "markAllSeen" | "markAllRead" | "archiveAll";
export type Verb = keyof typeof byIds | "snooze" | "act" | BulkVerb;
export type View = "ACTIVE" | "UNREAD" | "SNOOZED" | "ARCHIVED";

/** A mark from this tab or another tab that the feed has not yet delivered. */
export interface Mark {
  key: string;
  verb: Verb;
  /** The notifications that the mark applies to. For "mark all", each tab adds the notifications that it has loaded. */
  ids: Set<string>;
  at: string;
  until?: string;
  /** The view that "archive all" applies to. */
  view?: View;
  /** For "act", the key of the action. */
  action?: string;
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

export const isMarkAll = (verb: Verb): verb is BulkVerb => ["markAllSeen", "markAllRead", "archiveAll"].includes(verb);

export const isUnread = views.UNREAD;
/** A read notification is also seen. */
export const isUnseen = (item: Item): boolean => isUnread(item) && !item.seenAt;

const counts: Record<Count, (item: Item) => boolean> = { unread: isUnread, unseen: isUnseen };

// They return the same object if nothing changes, so only rows that change are rendered again.
const seen = (item: Item, at: string): Item => (item.seenAt ? item : { ...item, seenAt: at });
const read = (item: Item, at: string): Item => (item.readAt ? seen(item, at) : { ...seen(item, at), readAt: at });

const archive = (item: Item, at: string): Item => ({ ...item, archivedAt: item.archivedAt ?? at, snoozedUntil: null });

const effects: Record<Verb, (item: Item, mark: Mark) => Item> = {
  markRead: (item, { at }) => read(item, at),
  markUnread: (item) => ({ ...item, readAt: null }),
  archive: (item, { at }) => archive(item, at),
  unarchive: (item) => ({ ...item, archivedAt: null }),
  snooze: (item, { until }) => ({ ...item, snoozedUntil: until ?? null, archivedAt: null }),
  unsnooze: (item) => ({ ...item, snoozedUntil: null }),
  pin: (item) => ({ ...item, pinned: true }),
  unpin: (item) => ({ ...item, pinned: false }),
  acknowledge: (item, { at }) =>
    item.requireAck ? { ...read(item, at), acknowledgedAt: item.acknowledgedAt ?? at } : item,
  act: (item, { at, action }) =>
    item.actedKey ? item : { ...read(item, at), actedKey: action ?? null, actedAt: at },
  markAllSeen: (item, { at }) => (isActive(item) ? seen(item, at) : item),
  markAllRead: (item, { at }) => (isActive(item) ? read(item, at) : item),
  archiveAll: (item, { at, view = "ACTIVE" }) => (views[view](item) ? archive(item, at) : item),
};

export const withMark = (item: Item, mark: Mark): Item => effects[mark.verb](item, mark);

/** Return true if the mark no longer changes the item because the feed has delivered its effect. */
export function isApplied(item: Item, mark: Mark): boolean {
  const after = withMark(item, mark);
  return (
    !after.seenAt === !item.seenAt &&
    !after.readAt === !item.readAt &&
    !after.archivedAt === !item.archivedAt &&
    !after.acknowledgedAt === !item.acknowledgedAt &&
    after.actedKey === item.actedKey &&
    after.pinned === item.pinned &&
    Date.parse(after.snoozedUntil ?? "0") === Date.parse(item.snoozedUntil ?? "0")
  );
}

/** Return the item with all marks applied in the order in which they were made. */
export function withMarks(item: Item, marks: Iterable<Mark>): Item {
  let result = item;
  for (const mark of marks) if (mark.ids.has(item.id)) result = withMark(result, mark);
  return result;
}

/** Loaded items, without marks and with the marks applied. */
interface Loaded {
  items: ReadonlyMap<string, Item>;
  shown: ReadonlyMap<string, Item>;
}

/** Return the hub's count with all marks applied. The difference is computed with the loaded items. */
export function countWithMarks(hubCount: number, count: Count, { items, shown }: Loaded, marks: Iterable<Mark>): number {
  let sum = hubCount;
  const ids = new Set<string>();
  for (const mark of marks) {
    sum -= mark[count];
    for (const id of mark.ids) ids.add(id);
  }
  for (const id of ids) {
    const [item, marked] = [items.get(id), shown.get(id)];
    if (item && marked) sum += Number(counts[count](marked)) - Number(counts[count](item));
  }
  return Math.max(0, sum);
}

/** Add the ids and counts to a "mark all" for the items that this tab has loaded. */
export function fillMarkAll(mark: Mark, hubCounts: Record<Count, number>, loaded: Loaded, marks: Iterable<Mark>): void {
  const current = [...loaded.shown.values()];
  const notLoaded = (count: Count) =>
    Math.max(0, countWithMarks(hubCounts[count], count, loaded, marks) - current.filter(counts[count]).length);
  const changed = current.filter((item) => views[mark.view ?? "ACTIVE"](item) && withMark(item, mark) !== item);
  mark.ids = new Set(changed.map((item) => item.id));
  mark.unread = mark.verb === "markAllSeen" || mark.view === "SNOOZED" ? 0 : notLoaded("unread");
  mark.unseen = mark.view === "SNOOZED" ? 0 : notLoaded("unseen");
}

type BulkKind = "ALL_SEEN" | "ALL_READ" | "ALL_ARCHIVED";

export const isBulk = (kind: InboxEvent["kind"]): kind is BulkKind => kind.startsWith("ALL_");

/** Return true if a bulk event includes the effect of a mark. */
export const supersedes = (kind: BulkKind, { verb, view }: Mark): boolean =>
  verb === "markAllSeen" ||
  (verb === "markAllRead" && kind !== "ALL_SEEN") ||
  (verb === "archiveAll" && view !== "SNOOZED" && kind === "ALL_ARCHIVED");

/** Return the state of the item after a bulk event. */
export function applyBulkEvent(item: Item, kind: BulkKind, at: string): Item {
  if (!isActive(item)) return item;
  if (kind === "ALL_SEEN") return seen(item, at);
  return kind === "ALL_READ" ? read(item, at) : { ...item, archivedAt: at };
}
