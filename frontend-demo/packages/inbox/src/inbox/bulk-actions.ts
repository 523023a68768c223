/** The actions for all notifications of a tab. */
import type { Inbox, View } from "../../../client/src/inbox";
import { viewOf, type ListQuery } from "../../../client/src/list-query";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { TextKey } from "../i18n";
import type { Messages } from "../locales/inbox";

export type BulkVerb = "markAllRead" | "archiveAll";

const READ_ALL: [BulkVerb, TextKey<Messages>] = ["markAllRead", "markAllRead"];

/** The actions of each view with their labels. */
const ACTIONS: Record<View, [BulkVerb, TextKey<Messages>][]> = {
  ACTIVE: [READ_ALL, ["archiveAll", "archiveAll"]],
  UNREAD: [READ_ALL, ["archiveAll", "archiveAllUnread"]],
  ARCHIVED: [],
  SNOOZED: [["archiveAll", "archiveAllSnoozed"]],
};

/** Return the actions that would change something. In a tab of a view, the first one marks the whole inbox as read. */
export function bulkActions(inbox: Inbox | undefined, query: ListQuery): [BulkVerb, TextKey<Messages>][] {
  const items = inbox?.items(query) ?? [];
  const isUseful = { markAllRead: typeof query === "string" ? !!inbox?.unread : items.some(isUnread), archiveAll: !!items.length };
  return ACTIONS[viewOf(query)].filter(([verb]) => isUseful[verb]);
}
