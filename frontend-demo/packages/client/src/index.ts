/** The inbox of a user without a user interface. Nothing is connected before a store has a subscriber. */
import { Client } from "./client.js";
import { ConnectedInbox } from "./inbox-store.js";
import type { ClientOptions, HubClient, InboxStore } from "./types.js";

export { HubError } from "./errors.js";
export type * from "./types.js";

/** Return the access of one user to a hub. */
export function createClient(options: ClientOptions): HubClient {
  return new Client(options);
}

/** Return the inbox of the client's user. */
export function createInbox(client: HubClient): InboxStore {
  return new ConnectedInbox(client as Client);
}
