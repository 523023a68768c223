import { createClient, createInbox } from "@notification-hub/client";
import { getToken } from "./token";

const client = createClient({ endpoint: "https://hub.example.org/graphql", getToken });
const inbox = createInbox(client);

const unsubscribe = inbox.subscribe(() => {
  const { status, unread } = inbox.getSnapshot();
  const { items } = inbox.list("ACTIVE");
  document.title = unread ? `(${unread}) Acme` : "Acme";
  document.body.replaceChildren(
    status,
    ...items.map((item) => {
      const button = document.createElement("button");
      button.textContent = item.title;
      button.onclick = () => inbox.markRead([item.id]);
      return button;
    }),
  );
});

addEventListener("signed-out", () => {
  unsubscribe();
  client.close();
});
