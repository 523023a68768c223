import type { HubInbox } from "../../../frontend-demo/src/inbox";

declare global {
  interface HTMLElementTagNameMap {
    "hub-inbox": HubInbox;
  }
}
