/** The user and the texts of the pages with React and Vue: `/react?user=bob`. */
import type { ClientOptions, ListName } from "@notification-hub/client";
import { getDemoToken } from "./tokens";

export const USER = new URLSearchParams(location.search).get("user") === "bob" ? "bob" : "alice";

export const OPTIONS: ClientOptions = {
  endpoint: "/graphql",
  getToken: (refused) => getDemoToken(USER, refused),
};

export const VIEWS: Record<ListName, string> = {
  ACTIVE: "All",
  PINNED: "Pinned",
  UNREAD: "Unread",
  ARCHIVED: "Archived",
  SNOOZED: "Snoozed",
};

/** The text of a channel, such as `Web push`. */
export const channelName = (channel: string): string => {
  const words = channel.toLowerCase().replaceAll("_", " ");
  return { SMS: "SMS", WHATSAPP: "WhatsApp" }[channel] ?? words.charAt(0).toUpperCase() + words.slice(1);
};
