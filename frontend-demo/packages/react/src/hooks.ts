/** The state of the hub as React state. */
import { useEffect, useSyncExternalStore } from "react";
import type { InboxSnapshot, InboxStore, ListName, NotificationList, Store } from "@notification-hub/client";
import type { PreferencesSnapshot, PreferencesStore } from "@notification-hub/client/preferences";
import { useHub } from "./provider.js";

/** A list on a server and during hydration. */
const NO_LIST: NotificationList = { items: [], state: "loading", hasMore: false };

/** The state of a list, the counts, and the inbox with its methods. */
export interface UseInbox extends InboxSnapshot, NotificationList {
  inbox: InboxStore;
}

/** `store` has the methods that change the preferences. */
export interface UsePreferences extends PreferencesSnapshot {
  store: PreferencesStore;
}

/** Return the notifications of a list and the counts. The component renders again when they change. */
export function useInbox(name: ListName = "ACTIVE"): UseInbox {
  const { inbox } = useHub();
  const list = useSyncExternalStore(inbox.subscribe, () => inbox.list(name), () => NO_LIST);
  const snapshot = useSnapshot(inbox);
  useEffect(() => inbox.load(name), [inbox, name]);
  return { ...snapshot, ...list, inbox };
}

/** Return the numbers of unread and unseen notifications. */
export function useCounts(): { unread: number; unseen: number } {
  const { unread, unseen } = useSnapshot(useHub().inbox);
  return { unread, unseen };
}

/** Return the preferences, topics, and devices of the user. */
export function usePreferences(): UsePreferences {
  const { preferences: store } = useHub();
  return { ...useSnapshot(store), store };
}

function useSnapshot<Snapshot>(store: Store<Snapshot>): Snapshot {
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot);
}
