import { useCounts, useInbox } from "@notification-hub/react";

export function UnreadList() {
  const { items, state, hasMore, status, inbox } = useInbox("UNREAD");
  if (status === "refused") return <p>You are signed out.</p>;
  if (state === "failed") return <button onClick={() => inbox.loadMore("UNREAD")}>Try again</button>;
  return (
    <>
      <ul aria-busy={state === "loading"}>
        {items.map((item) => (
          <li key={item.id}>
            {item.title} <button onClick={() => inbox.markRead([item.id])}>Mark as read</button>
          </li>
        ))}
      </ul>
      {hasMore && <button onClick={() => inbox.loadMore("UNREAD")}>Load more</button>}
    </>
  );
}

export function UnreadCount() {
  const { unread } = useCounts();
  return <output>{unread} unread</output>;
}
