/** A page with Vue: the bell, and a list and switches that are made with composables. */
import type { HubNotification, ListName } from "@notification-hub/client";
import { HubInbox, provideHub, useInbox, usePreferences } from "@notification-hub/vue";
import { createApp, defineComponent, h, ref } from "vue";
import { OPTIONS, USER, VIEWS, channelName } from "./host-data";

const Notifications = defineComponent(() => {
  const view = ref<ListName>("ACTIVE");
  const { items, state, hasMore, unread, inbox } = useInbox(view);
  const select = (event: Event) => (view.value = (event.target as HTMLSelectElement).value as ListName);
  return () => [
    h("h1", ["Notifications ", h("output", { class: "quiet" }, `${unread.value} unread`)]),
    h("label", [
      "View",
      h("select", { value: view.value, onChange: select }, Object.entries(VIEWS).map(([value, name]) => h("option", { value }, name))),
    ]),
    h(
      "ul",
      { "aria-busy": state.value === "loading" },
      items.value.map(({ id, title, readAt, pinned }) =>
        h("li", { key: id }, [
          h("span", { dir: "auto" }, title),
          h(
            "button",
            { onClick: () => (readAt ? inbox.markUnread([id]) : inbox.markRead([id])) },
            readAt ? "Mark as unread" : "Mark as read",
          ),
          h("button", { onClick: () => (pinned ? inbox.unpin([id]) : inbox.pin([id])) }, pinned ? "Unpin" : "Pin"),
        ]),
      ),
    ),
    state.value === "ready" && !items.value.length && h("p", { class: "quiet" }, "Nothing here."),
    hasMore.value && h("button", { onClick: () => inbox.loadMore(view.value) }, "Load more"),
  ];
});

const Channels = defineComponent(() => {
  const { snapshot, store } = usePreferences();
  return () => [
    h("h2", "Channels"),
    snapshot.value.preferences?.channels.map(({ channel, enabled }) =>
      h("label", { key: channel }, [
        h("input", { type: "checkbox", checked: enabled, onChange: () => void store.switchChannel(channel, !enabled) }),
        channelName(channel),
      ]),
    ),
  ];
});

const ownRow = ({ notification }: { notification: HubNotification }) =>
  h("p", { class: "own" }, [
    h("span", { dir: "auto" }, notification.title),
    h("small", { dir: "auto" }, notification.body),
  ]);

const App = defineComponent(() => {
  provideHub(OPTIONS);
  return () => [
    h("header", { "aria-label": `${USER} in Vue` }, [h("strong", "Acme in Vue"), h(HubInbox, { titleCount: true }, { item: ownRow })]),
    h("main", { "aria-label": `${USER}'s page in Vue` }, [h(Notifications), h(Channels)]),
  ];
});

createApp(App).mount("#app");
