import { HubInboxList } from "@notification-hub/react";

export function InboxPage() {
  return (
    <HubInboxList
      titleCount
      words={{ emptyAll: "Nothing new" }}
      renderItem={({ title, body, readAt }) => (
        <p className={readAt ? "row" : "row unread"}>
          <em>{title}</em> {body}
        </p>
      )}
    />
  );
}
