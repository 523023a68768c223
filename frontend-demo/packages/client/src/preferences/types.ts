/** The public types of `@notification-hub/client/preferences`. */
import type { Priority, Status, Store } from "../types.js";

export type Channel =
  | "IN_APP"
  | "EMAIL"
  | "WEB_PUSH"
  | "MOBILE_PUSH"
  | "SMS"
  | "WHATSAPP"
  | "WEBHOOK"
  | "SLACK"
  | "DISCORD"
  | "TEAMS";

export interface ChannelPreference {
  channel: Channel;
  enabled: boolean;
}

/** The reason why a channel cannot reach the user, or `OK`. */
export type Reach = "OK" | "NO_ADDRESS" | "NOT_CONFIGURED" | "NOT_USED";

export interface CategoryChannelPreference {
  channel: Channel;
  enabled: boolean;
  reach: Reach;
  /** True if the user cannot change the preference because the category is required. */
  locked: boolean;
  /** The window in which deliveries are gathered, as an ISO 8601 duration. */
  digest: string | null;
  /** The local time, HH:MM, at which gathered deliveries leave. */
  digestAt: string | null;
  /** The weekdays on which they leave, from 1 (Monday) to 7. */
  digestDays: number[] | null;
}

export interface CategoryPreference {
  category: { key: string; name: string; description: string | null; required: boolean };
  mutedUntil: string | null;
  channels: CategoryChannelPreference[];
}

/** A window of local time in which push, SMS, and chat messages wait. */
export interface QuietWindow {
  /** The local time, HH:MM. */
  start: string;
  end: string;
  timezone: string;
  /** The weekdays on which the window starts, from 1 (Monday) to 7. */
  days: number[];
  /** Notifications of this priority or a higher one do not wait. */
  allow: Priority;
}

export interface Preferences {
  channels: ChannelPreference[];
  categories: CategoryPreference[];
  quietSchedule: QuietWindow[];
  doNotDisturbUntil: string | null;
  dailyLimit: number | null;
}

export interface Device {
  id: string;
  kind: "WEB_PUSH" | "MOBILE_PUSH" | "SLACK" | "DISCORD" | "TEAMS" | "WEBHOOK";
  platform: string | null;
  label: string | null;
  maskedUrl: string | null;
  createdAt: string;
  lastUsedAt: string | null;
}

/** A topic that the user follows, or has left if `leftAt` is set. */
export interface TopicSubscription {
  topic: { key: string; name: string; description: string | null; visible: boolean };
  leftAt: string | null;
}

export interface PreferencesSnapshot {
  readonly status: Status;
  readonly state: "loading" | "ready" | "failed";
  /** The preferences with the changes that the hub has not confirmed yet. Undefined until they are loaded. */
  readonly preferences: Preferences | undefined;
  readonly topics: readonly TopicSubscription[];
  readonly devices: readonly Device[];
  /** The user's time zone. */
  readonly timezone: string;
}

/** `quietFull`: too many windows of quiet hours. `chatInvalid`, `chatFull`: the chat could not be connected. */
export type PreferencesRefusal = "notSaved" | "quietFull" | "chatInvalid" | "chatFull";

export interface ChatInput {
  kind: Device["kind"];
  /** The URL of the chat's incoming webhook. */
  url: string;
  label?: string | null;
}

/** The user's choice for gathered deliveries of a category on a channel. Null values clear the choice. */
export type DigestChoice = Pick<CategoryChannelPreference, "channel" | "digest" | "digestAt" | "digestDays">;

/**
 * The preferences of the user. A change is shown immediately, and is reverted if the hub refuses it. The methods resolve
 * to false in this case, and throw an error if the preferences are not loaded.
 */
export interface PreferencesStore extends Store<PreferencesSnapshot> {
  /** Load everything again, for example after a failure. */
  reload(): Promise<boolean>;
  /** Turn a channel on or off for all categories. */
  switchChannel(channel: Channel, enabled: boolean): Promise<boolean>;
  /** Turn a channel on or off for one category. */
  switchCategoryChannel(category: string, channel: Channel, enabled: boolean): Promise<boolean>;
  /** Mute a category until a time, or unmute it if the time is null. */
  mute(category: string, until: string | null): Promise<boolean>;
  setDigest(category: string, choices: DigestChoice[]): Promise<boolean>;
  /** Replace all windows of the quiet hours. */
  setQuietSchedule(windows: QuietWindow[]): Promise<boolean>;
  /** Turn on do-not-disturb until a time, or turn it off if the time is null. */
  setDoNotDisturb(until: string | null): Promise<boolean>;
  /** Set the number of interruptions per day, or remove the limit if it is null. */
  setDailyLimit(limit: number | null): Promise<boolean>;
  leaveTopic(key: string): Promise<boolean>;
  rejoinTopic(key: string): Promise<boolean>;
  removeDevice(id: string): Promise<boolean>;
  /** Connect a chat, or rename it if it is connected. */
  connectChat(chat: ChatInput): Promise<boolean>;
  /** Call `listener` with the reason of each change that the hub refused. Returns a function that ends the calls. */
  on(event: "refused", listener: (reason: PreferencesRefusal) => void): () => void;
}
