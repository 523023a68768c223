/** A page with React: the bell, and a list and switches that are made with hooks. */
import { HubInbox, HubProvider, useInbox, usePreferences } from "@notification-hub/react";
import type { ListName } from "@notification-hub/client";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { OPTIONS, USER, VIEWS, channelName } from "./host-data";

function Notifications() {
  const [view, setView] = useState<ListName>("ACTIVE");
  const { items, state, hasMore, unread, inbox } = useInbox(view);
  return (
    <>
      <h1>
        Notifications <output className="quiet">{unread} unread</output>
      </h1>
      <label>
        View
        <select value={view} onChange={(event) => setView(event.target.value as ListName)}>
          {Object.entries(VIEWS).map(([key, name]) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <ul aria-busy={state === "loading"}>
        {items.map((item) => (
          <li key={item.id}>
            <span dir="auto">{item.title}</span>
            <button onClick={() => (item.readAt ? inbox.markUnread([item.id]) : inbox.markRead([item.id]))}>
              {item.readAt ? "Mark as unread" : "Mark as read"}
            </button>
            <button onClick={() => (item.pinned ? inbox.unpin([item.id]) : inbox.pin([item.id]))}>
              {item.pinned ? "Unpin" : "Pin"}
            </button>
          </li>
        ))}
      </ul>
      {state === "ready" && !items.length && <p className="quiet">Nothing here.</p>}
      {hasMore && <button onClick={() => inbox.loadMore(view)}>Load more</button>}
    </>
  );
}

function Channels() {
  const { preferences, store } = usePreferences();
  return (
    <>
      <h2>Channels</h2>
      {preferences?.channels.map(({ channel, enabled }) => (
        <label key={channel}>
          <input
            type="checkbox"
            checked={enabled}
            onChange={(event) => void store.switchChannel(channel, event.target.checked)}
          />
          {channelName(channel)}
        </label>
      ))}
    </>
  );
}

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <HubProvider {...OPTIONS}>
      <header aria-label={`${USER} in React`}>
        <strong>Acme in React</strong>
        <HubInbox
          toasts
          titleCount
          renderItem={({ title, body }) => (
            <p className="own">
              <span dir="auto">{title}</span>
              <small dir="auto">{body}</small>
            </p>
          )}
        />
      </header>
      <main aria-label={`${USER}'s page in React`}>
        <Notifications />
        <Channels />
      </main>
    </HubProvider>
  </StrictMode>,
);
