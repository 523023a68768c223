/** Components and composables for Vue. They render on a server, and connect in the browser only. */
export { HubInbox, HubInboxList, HubPreferences } from "./elements.js";
export { provideHub, useCounts, useHubClient, useInbox, usePreferences } from "./composables.js";
export type { Counts, UseInbox, UsePreferences } from "./composables.js";
export type { InboxTab } from "@notification-hub/inbox";
