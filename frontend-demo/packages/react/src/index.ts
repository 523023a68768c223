/** Components and hooks for React. They render on a server, and connect in the browser only. */
export { HubProvider, useHubClient, type HubProviderProps } from "./provider.js";
export { HubInbox, HubInboxList, HubPreferences } from "./elements.js";
export type { HubInboxListProps, HubInboxProps, HubPreferencesProps } from "./elements.js";
export type { InboxTab } from "@notification-hub/inbox";
export { useCounts, useInbox, usePreferences, type UseInbox, type UsePreferences } from "./hooks.js";
