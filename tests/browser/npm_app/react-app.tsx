// React in strict mode with Vite. The page can be hidden, and has a list instead of the bell when it is shown again. The
// user can change.
import { HubInbox, HubProvider, useInbox } from "@notification-hub/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { InboxPage } from "./examples/react/inbox-page";
import { UnreadCount, UnreadList } from "./examples/react/unread-list";

declare global {
  interface Window {
    tokens: Record<string, string>;
  }
}

function ArchiveAll() {
  const { inbox } = useInbox();
  const [undo, setUndo] = useState<() => void>();
  const archive = () => {
    const undoArchive = inbox.archiveAll("ACTIVE");
    setUndo(() => undoArchive);
  };
  return undo ? <button onClick={() => undo()}>Move back</button> : <button onClick={archive}>Archive everything</button>;
}

function Page() {
  const [user, setUser] = useState("alice");
  const [toggles, setToggles] = useState(0);
  return (
    <HubProvider endpoint="/graphql" token={window.tokens[user] ?? null}>
      <button onClick={() => setUser("bob")}>Sign in as Bob</button>
      <button onClick={() => setUser("")}>Sign out</button>
      <button onClick={() => setToggles(toggles + 1)}>Toggle</button>
      {toggles % 2 === 0 && (
        <main>
          {toggles === 0 ? <HubInbox id="bell" /> : <InboxPage />}
          <UnreadCount />
          <UnreadList />
          <ArchiveAll />
        </main>
      )}
    </HubProvider>
  );
}

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
