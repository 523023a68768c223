import { HubInbox } from "@notification-hub/inbox";
import "@notification-hub/inbox/hub-inbox.css";
import { getToken } from "./token";

const bell = new HubInbox();
bell.endpoint = "https://hub.example.org/graphql";
bell.getToken = getToken;
bell.addEventListener("hub-count", ({ detail }) => (document.title = `(${detail.unread}) Acme`));
document.querySelector("header")?.append(bell);
