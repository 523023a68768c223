/** The marks that the user makes, and how they are undone. */
import type { Inbox, Item, Verb } from "../../../client/src/inbox";
import { isUnread } from "../../../client/src/optimistic-marks";

const IDS_MAX = 1_000; // the hub's limit per call, by default

const idsOf = (items: readonly Item[]): string[] => items.map(({ id }) => id);

function mark(inbox: Inbox, verb: Verb, ids: readonly string[], until?: string): void {
  for (let start = 0; start < ids.length; start += IDS_MAX) inbox.mark(verb, ids.slice(start, start + IDS_MAX), until);
}

/** Mark items, which are sorted, the newest first. Return a function that reverts it. */
export function markItems(inbox: Inbox, verb: Verb, items: readonly Item[], until?: string): () => void {
  const oldestFirst = [...items].reverse(); // items that return to the top keep their order
  mark(inbox, verb, idsOf(oldestFirst), until);
  const revert = (opposite: Verb, filter: (item: Item) => unknown) => mark(inbox, opposite, idsOf(oldestFirst.filter(filter)));
  return () => {
    if (verb === "markRead") revert("markUnread", isUnread);
    else if (verb === "snooze") {
      revert("archive", ({ archivedAt }) => archivedAt);
      revert("unsnooze", ({ archivedAt }) => !archivedAt);
    } else {
      revert("unarchive", ({ snoozedUntil }) => !snoozedUntil);
      for (const { id, snoozedUntil } of items) if (snoozedUntil) inbox.mark("snooze", [id], snoozedUntil);
    }
  };
}
