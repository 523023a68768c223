/** What each mark makes of a notification, as the hub will: to show it before the hub has answered. */
import type { byIds, Change, Item } from "./operations";

export type Verb = keyof typeof byIds | "snooze" | "markAllSeen" | "markAllRead";
export type View = "ACTIVE" | "UNREAD" | "SNOOZED" | "ARCHIVED";

/** A mark that was made here or in another tab, and that the feed has not told of yet. */
export interface Mark {
  key: string;
  verb: Verb;
  /** Of all at once: those that were known, filled in by each tab. */
  ids: string[];
  at: string;
  until?: string;
  /** Of all at once: what it takes from the counts beyond those. */
  unread: number;
  unseen: number;
  /** The life of the inbox in which a tab laid it. */
  life?: number;
}

export type Count = "unread" | "unseen";

const active = (item: Item): boolean => !item.archivedAt && !item.snoozedUntil;

export const views: Record<View, (item: Item) => boolean> = {
  ACTIVE: active,
  UNREAD: (item) => active(item) && !item.readAt,
  SNOOZED: (item) => !!item.snoozedUntil && !item.archivedAt,
  ARCHIVED: (item) => !!item.archivedAt,
};

export const isUnread = views.UNREAD;
/** Reading implies seeing. */
export const isUnseen = (item: Item): boolean => isUnread(item) && !item.seenAt;

const counts: Record<Count, (item: Item) => boolean> = { unread: isUnread, unseen: isUnseen };

const seen = (item: Item, at: string): Item => ({ ...item, seenAt: item.seenAt ?? at });
const read = (item: Item, at: string): Item => ({ ...seen(item, at), readAt: item.readAt ?? at });

const does: Record<Verb, (item: Item, mark: Mark) => Item> = {
  markRead: (item, { at }) => read(item, at),
  markUnread: (item) => ({ ...item, readAt: null }),
  archive: (item, { at }) => ({ ...item, archivedAt: item.archivedAt ?? at, snoozedUntil: null }),
  unarchive: (item) => ({ ...item, archivedAt: null }),
  snooze: (item, { until }) => ({ ...item, snoozedUntil: until ?? null, archivedAt: null }),
  unsnooze: (item) => (item.snoozedUntil ? { ...item, snoozedUntil: null, sortKey: Number.MAX_SAFE_INTEGER } : item),
  acknowledge: (item, { at }) =>
    item.requireAck ? { ...read(item, at), acknowledgedAt: item.acknowledgedAt ?? at } : item,
  markAllSeen: (item, { at }) => (active(item) ? seen(item, at) : item),
  markAllRead: (item, { at }) => (active(item) ? read(item, at) : item),
};

export const marked = (item: Item, mark: Mark): Item => does[mark.verb](item, mark);

/** Whether the mark would change nothing any more: the feed has told of it. */
export function satisfied(item: Item, mark: Mark): boolean {
  const after = marked(item, mark);
  return (
    after.sortKey === item.sortKey &&
    !after.seenAt === !item.seenAt &&
    !after.readAt === !item.readAt &&
    !after.archivedAt === !item.archivedAt &&
    !after.acknowledgedAt === !item.acknowledgedAt &&
    Date.parse(after.snoozedUntil ?? "0") === Date.parse(item.snoozedUntil ?? "0")
  );
}

/** An item with every mark laid over it, in the order in which they were made. */
export function overlaid(item: Item, marks: Iterable<Mark>): Item {
  let shown = item;
  for (const mark of marks) if (mark.ids.includes(item.id)) shown = marked(shown, mark);
  return shown;
}

/** What is left of a count that the hub told, under these marks: item by item, as far as items are known. */
export function counted(told: number, count: Count, known: ReadonlyMap<string, Item>, marks: readonly Mark[]): number {
  let sum = told;
  for (const mark of marks) sum -= mark[count];
  for (const id of new Set(marks.flatMap((mark) => mark.ids))) {
    const item = known.get(id);
    if (item) sum += Number(counts[count](overlaid(item, marks))) - Number(counts[count](item));
  }
  return Math.max(0, sum);
}

/** Lays a mark of all at once over all that is known here, and has it take the rest from the counts. */
export function layOverAll(mark: Mark, told: Record<Count, number>, known: ReadonlyMap<string, Item>, marks: readonly Mark[]): void {
  const items = [...known.values()].map((item) => overlaid(item, marks));
  const beyond = (count: Count) =>
    Math.max(0, counted(told[count], count, known, marks) - items.filter(counts[count]).length);
  mark.ids = items.filter(active).map((item) => item.id);
  mark.unread = mark.verb === "markAllRead" ? beyond("unread") : 0;
  mark.unseen = beyond("unseen");
}

/** Whether a change of all at once leaves this mark nothing to do. */
export const fulfils = (kind: All, verb: Verb): boolean =>
  verb === "markAllSeen" || (verb === "markAllRead" && kind !== "ALL_SEEN");

type All = "ALL_SEEN" | "ALL_READ" | "ALL_ARCHIVED";

/** What a change of all at once makes of one. */
export function swept(item: Item, kind: All, at: string): Item {
  if (!active(item)) return item;
  if (kind === "ALL_SEEN") return seen(item, at);
  return kind === "ALL_READ" ? read(item, at) : { ...item, archivedAt: at };
}

export const isAll = (kind: Change["kind"]): kind is All => kind.startsWith("ALL_");
