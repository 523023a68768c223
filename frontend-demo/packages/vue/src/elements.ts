/** The elements as components. Their scripts are loaded in the browser only. */
import { defineComponent, h, onMounted, shallowRef, Teleport, watchEffect, type PropType, type SetupContext, type ShallowRef, type SlotsType, type VNode } from "vue";
import type { GetToken, HubNotification } from "@notification-hub/client";
import type { ActionDetail, ArrivedDetail, CountDetail, HubInboxElement, HubInboxListElement, InboxTab, OpenDetail, RowsDetail, Theme, Words } from "@notification-hub/inbox";
import type { AddAddressDetail, HubPreferencesElement } from "@notification-hub/inbox/preferences";
import { useOptionalHub } from "./composables.js";

/** The options default to those of `provideHub`. */
const properties = {
  endpoint: String,
  token: String,
  getToken: Function as PropType<GetToken>,
  /** A BCP 47 tag. Default: the language of the page. */
  locale: String,
  theme: String as PropType<Theme>,
};

const inboxProperties = {
  ...properties,
  words: Object as PropType<Words>,
  tabs: Array as PropType<readonly InboxTab[]>,
  groupThreads: Boolean,
  /** The URLs of images, by the key of the category. */
  categoryIcons: Object as PropType<Record<string, string>>,
  /** Show the number of unread notifications before the title of the page. */
  titleCount: Boolean,
  /** Show the number of unread notifications on the icon of the installed app, where browsers can. */
  appBadge: Boolean,
};

/** `item` renders a row in place of the picture, title, and text of the notification. */
type InboxSlots = SlotsType<{ default: object; item: { notification: HubNotification } }>;
const slots = Object as unknown as InboxSlots;

const inboxEvents = {
  open: (_event: CustomEvent<OpenDetail>) => true,
  action: (_event: CustomEvent<ActionDetail>) => true,
  count: (_event: CustomEvent<CountDetail>) => true,
  arrived: (_event: CustomEvent<ArrivedDetail>) => true,
};

/**
 * The bell with the inbox. `open` is emitted when the user opened a notification, and `action` when the user pressed a
 * button of a notification. If you cancel the event, the browser does not follow the link. `arrived` is emitted for each
 * new notification. If you cancel the event, no toast is shown.
 */
export const HubInbox = defineComponent({
  name: "HubInbox",
  props: { ...inboxProperties, keepOpen: Boolean, toasts: Boolean },
  emits: inboxEvents,
  slots,
  setup: (props, context) => useInboxElement<HubInboxElement>("hub-inbox", () => ({ ...props }), context),
});

/** The inbox without the bell, as a part of a page, with the same events. */
export const HubInboxList = defineComponent({
  name: "HubInboxList",
  props: inboxProperties,
  emits: inboxEvents,
  slots,
  setup: (props, context) => useInboxElement<HubInboxListElement>("hub-inbox-list", () => ({ ...props }), context),
});

/** Return the function that renders an inbox element. */
function useInboxElement<Element extends HubInboxListElement>(
  name: string,
  getProperties: () => Partial<Element>,
  { emit, expose, slots }: SetupContext<typeof inboxEvents, InboxSlots>,
): () => VNode {
  const element = useElement<Element>(() => ({ ...getProperties(), renderItem: "item" in slots ? emptyRow : undefined }));
  const rows = shallowRef<RowsDetail["rows"]>(new Map());
  onMounted(() => void import("@notification-hub/inbox"));
  expose({ element });
  const listeners = {
    "onHub-open": (event: CustomEvent<OpenDetail>) => emit("open", event),
    "onHub-action": (event: CustomEvent<ActionDetail>) => emit("action", event),
    "onHub-count": (event: CustomEvent<CountDetail>) => emit("count", event),
    "onHub-arrived": (event: CustomEvent<ArrivedDetail>) => emit("arrived", event),
    "onHub-rows": (event: CustomEvent<RowsDetail>) => (rows.value = event.detail.rows),
  };
  const renderRows = () =>
    [...rows.value].map(([to, notification]) => h(Teleport, { key: notification.id, to }, slots.item?.({ notification }) ?? []));
  return () => h(name, { ref: element, ...listeners }, [...(slots.default?.({}) ?? []), ...renderRows()]);
}

/** The element leaves its rows empty, and Vue renders into them. */
const emptyRow = (): string => "";

/** The settings of the user. `worker` is the path of the service worker on your origin. `addAddress` is cancelable. */
export const HubPreferences = defineComponent({
  name: "HubPreferences",
  props: { ...properties, worker: { type: String, default: "/sw.js" } },
  emits: { addAddress: (_event: CustomEvent<AddAddressDetail>) => true },
  setup(props, { emit, expose }) {
    const element = useElement<HubPreferencesElement>(() => ({ ...props }));
    onMounted(() => void import("@notification-hub/inbox/preferences"));
    expose({ element });
    const onAddAddress = (event: CustomEvent<AddAddressDetail>) => emit("addAddress", event);
    return () => h("hub-preferences", { ref: element, "onHub-add-address": onAddAddress });
  },
});

/** Return a ref of the element, whose properties follow `getProperties`, also before its script has loaded. */
function useElement<Element extends HTMLElement>(getProperties: () => Partial<Element>): ShallowRef<Element | null> {
  const element = shallowRef(null) as ShallowRef<Element | null>;
  const hub = useOptionalHub();
  watchEffect(
    () => {
      const own = getProperties();
      const { endpoint, token, getToken } = own as { endpoint?: string; token?: string; getToken?: GetToken };
      const isOwn = endpoint || token || getToken;
      // Each property is set once: the element connects again if its endpoint changes, also if it changes back.
      if (element.value) Object.assign(element.value, { ...own, ...(isOwn ? undefined : hub?.options.value) });
    },
    { flush: "post" },
  );
  return element;
}
