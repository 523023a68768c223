/** The state of the hub as refs. */
import {
  computed,
  inject,
  onMounted,
  onUnmounted,
  provide,
  shallowRef,
  toValue,
  watch,
  type ComputedRef,
  type InjectionKey,
  type MaybeRefOrGetter,
  type ShallowRef,
} from "vue";
import { createClient, createInbox } from "@notification-hub/client";
import type { ClientOptions, HubClient, HubNotification, InboxStore, ListName, NotificationList, Status } from "@notification-hub/client";
import { createPreferences, type PreferencesSnapshot, type PreferencesStore } from "@notification-hub/client/preferences";

interface Hub {
  options: ComputedRef<ClientOptions>;
  client: HubClient;
  inbox: InboxStore;
  preferences: PreferencesStore;
}

/** A list on a server and during hydration. */
const NO_LIST: NotificationList = { items: [], state: "loading", hasMore: false };
const HUB: InjectionKey<Hub> = Symbol("notification-hub");

/** Give the components below this one access to the hub. Reactive options can change at any time. */
export function provideHub(options: MaybeRefOrGetter<ClientOptions>): HubClient {
  const current = computed(() => ({ ...toValue(options) }));
  const client = createClient(current.value);
  watch(current, (changed) => client.update(changed));
  provide(HUB, { options: current, client, inbox: createInbox(client), preferences: createPreferences(client) });
  return client;
}

/** Return what `provideHub` provided, or undefined. */
export const useOptionalHub = (): Hub | undefined => inject(HUB, undefined);

function useHub(): Hub {
  const hub = useOptionalHub();
  if (!hub) throw new Error("No component above this one has called provideHub.");
  return hub;
}

/** Return the client, for example to call `refresh` after another user signed in. */
export const useHubClient = (): HubClient => useHub().client;

export interface Counts {
  unread: ComputedRef<number>;
  unseen: ComputedRef<number>;
}

export interface UseInbox extends Counts {
  status: ComputedRef<Status>;
  items: ComputedRef<readonly HubNotification[]>;
  state: ComputedRef<NotificationList["state"]>;
  /** True if `inbox.loadMore` can load older notifications. */
  hasMore: ComputedRef<boolean>;
  /** The inbox with its methods. */
  inbox: InboxStore;
}

export interface UsePreferences {
  snapshot: Readonly<ShallowRef<PreferencesSnapshot>>;
  /** The store with the methods that change the preferences. */
  store: PreferencesStore;
}

/** Return the notifications of a list and the counts. */
export function useInbox(name: MaybeRefOrGetter<ListName> = "ACTIVE"): UseInbox {
  const { inbox } = useHub();
  const snapshot = useSnapshot(inbox.subscribe, inbox.getSnapshot, inbox.getServerSnapshot());
  const list = useSnapshot(inbox.subscribe, () => inbox.list(toValue(name)), NO_LIST);
  const load = (): void => {
    inbox.load(toValue(name));
    list.value = inbox.list(toValue(name));
  };
  onMounted(load);
  watch(() => toValue(name), load);
  return {
    status: computed(() => snapshot.value.status),
    unread: computed(() => snapshot.value.unread),
    unseen: computed(() => snapshot.value.unseen),
    items: computed(() => list.value.items),
    state: computed(() => list.value.state),
    hasMore: computed(() => list.value.hasMore),
    inbox,
  };
}

/** Return the numbers of unread and unseen notifications. */
export function useCounts(): Counts {
  const { inbox } = useHub();
  const snapshot = useSnapshot(inbox.subscribe, inbox.getSnapshot, inbox.getServerSnapshot());
  return { unread: computed(() => snapshot.value.unread), unseen: computed(() => snapshot.value.unseen) };
}

/** Return the preferences, topics, and devices of the user. */
export function usePreferences(): UsePreferences {
  const { preferences: store } = useHub();
  return { snapshot: useSnapshot(store.subscribe, store.getSnapshot, store.getServerSnapshot()), store };
}

/** Subscribe while the component is mounted. `initial` is the state on a server and during hydration. */
function useSnapshot<Snapshot>(
  subscribe: (listener: () => void) => () => void,
  getSnapshot: () => Snapshot,
  initial: Snapshot,
): ShallowRef<Snapshot> {
  const snapshot = shallowRef(initial) as ShallowRef<Snapshot>;
  const update = (): void => void (snapshot.value = getSnapshot());
  let unsubscribe = () => {};
  onMounted(() => {
    unsubscribe = subscribe(update);
    update();
  });
  onUnmounted(() => unsubscribe());
  return snapshot;
}
