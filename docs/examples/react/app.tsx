import "@notification-hub/inbox/hub-inbox.css";
import { HubInbox, HubProvider } from "@notification-hub/react";
import type { ReactNode } from "react";
import { getToken } from "../token";

export function App({ navigate, children }: { navigate: (path: string) => void; children: ReactNode }) {
  return (
    <HubProvider endpoint="https://hub.example.org/graphql" getToken={getToken}>
      <header>
        <HubInbox
          onOpen={(event) => {
            const { url } = event.detail;
            if (!url?.startsWith("/")) return; // not in this app: the browser follows the link
            event.preventDefault();
            navigate(url);
          }}
        />
      </header>
      {children}
    </HubProvider>
  );
}
