/** What each mark makes of a notification, as the hub will: to show it before the hub has answered. */
import type { byIds, Change, Item } from "./operations";

export type Verb = keyof typeof byIds | "snooze" | "markAllSeen" | "markAllRead";
export type View = "ACTIVE" | "UNREAD" | "SNOOZED" | "ARCHIVED";

/** A mark that was made here or in another tab, and that the feed has not told of yet. */
export interface Mark {
  key: string;
  verb: Verb;
  /** Of all at once: those that were there. */
  ids: string[];
  at: string;
  until?: string;
  /** Of all at once: what it took from the counts. */
  unread: number;
  unseen: number;
}

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

const seen = (item: Item, at: string): Item => ({ ...item, seenAt: item.seenAt ?? at });
const read = (item: Item, at: string): Item => ({ ...seen(item, at), readAt: item.readAt ?? at });

const does: Record<Verb, (item: Item, mark: Mark) => Item> = {
  markRead: (item, { at }) => read(item, at),
  markUnread: (item) => ({ ...item, readAt: null }),
  archive: (item, { at }) => ({ ...item, archivedAt: item.archivedAt ?? at, snoozedUntil: null }),
  unarchive: (item) => ({ ...item, archivedAt: null }),
  snooze: (item, { until }) => ({ ...item, snoozedUntil: until ?? null, archivedAt: null }),
  unsnooze: (item) => (item.snoozedUntil ? { ...item, snoozedUntil: null, place: Number.MAX_SAFE_INTEGER } : item),
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
    after.place === item.place &&
    !after.seenAt === !item.seenAt &&
    !after.readAt === !item.readAt &&
    !after.archivedAt === !item.archivedAt &&
    !after.acknowledgedAt === !item.acknowledgedAt &&
    Date.parse(after.snoozedUntil ?? "0") === Date.parse(item.snoozedUntil ?? "0")
  );
}

type All = "ALL_SEEN" | "ALL_READ" | "ALL_ARCHIVED";

/** What a change of all at once makes of one. */
export function swept(item: Item, kind: All, at: string): Item {
  if (!active(item)) return item;
  if (kind === "ALL_SEEN") return seen(item, at);
  return kind === "ALL_READ" ? read(item, at) : { ...item, archivedAt: at };
}

export const isAll = (kind: Change["kind"]): kind is All => kind.startsWith("ALL_");
