/** The preferences of a user without a user interface. */
import type { Client } from "../client";
import type { HubClient } from "../types.js";
import { ConnectedPreferences } from "./connected-preferences.js";
import type { PreferencesStore } from "./types.js";

export type * from "./types.js";

/** Return the preferences of the client's user. */
export function createPreferences(client: HubClient): PreferencesStore {
  return new ConnectedPreferences(client as Client);
}
