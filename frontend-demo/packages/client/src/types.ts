/** The public types of `@notification-hub/client`. They depend on no other package. */
import type { HubError } from "./errors.js";

/** Returns a valid token. `refused` is the token that the hub refused, if any. */
export type GetToken = (refused?: string) => string | Promise<string>;

export interface ClientOptions {
  /** The URL of the hub's GraphQL endpoint, such as `https://hub.example.org/graphql`. */
  endpoint: string;
  /** The token of the user. Without `token` and `getToken`, the client is not connected. */
  token?: string | null;
  /** Used instead of `token` if set. Called whenever a new token is required. */
  getToken?: GetToken | null;
}

/** `refused`: the token is missing, or the hub refused it and no other token is available yet. */
export type Status = "connecting" | "live" | "offline" | "refused";

/** One user's access to a hub. It is connected while one of its stores has a subscriber. */
export interface HubClient {
  readonly status: Status;
  /** Return the current time in milliseconds, on the hub's clock after the first connection. */
  now(): number;
  /** Replace all options. With a token of another user, or without a token, the data of the user is removed. */
  update(options: ClientOptions): void;
  /** Request a new token now. Call this method after another user signed in. */
  refresh(): void;
  /** Leave the connection now, without waiting for the last subscriber. */
  close(): void;
}

/** A source of data for a user interface, such as React's `useSyncExternalStore`. */
export interface Store<Snapshot> {
  /** Call `listener` after each change. Returns a function that ends the calls. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Return the current state: the same object until it changes. */
  readonly getSnapshot: () => Snapshot;
  /** Return the state before the first connection, which a server renders. */
  readonly getServerSnapshot: () => Snapshot;
}

export type Priority = "CRITICAL" | "HIGH" | "MEDIUM" | "LOW";

export interface NotificationAction {
  key: string;
  label: string;
  url: string | null;
  primary: boolean;
}

/** A notification in the inbox. Times have the form of ISO 8601. */
export interface HubNotification {
  id: string;
  /** The inbox is sorted by this number, highest first. */
  sortKey: number;
  category: string;
  categoryName: string;
  /** Clients can show the notifications of one thread together. */
  threadKey: string | null;
  tags: string[];
  title: string;
  body: string;
  /** True if the body is Markdown. */
  markdown: boolean;
  imageUrl: string | null;
  actionUrl: string | null;
  actions: NotificationAction[];
  /** The person or the system that caused the notification. */
  actor: { name: string; avatarUrl: string | null } | null;
  priority: Priority;
  createdAt: string;
  seenAt: string | null;
  readAt: string | null;
  archivedAt: string | null;
  snoozedUntil: string | null;
  acknowledgedAt: string | null;
  requireAck: boolean;
  /** True if it is shown above the others while it is in the inbox. */
  pinned: boolean;
  /** The key of the action that the user took on any device. */
  actedKey: string | null;
  actedAt: string | null;
  /** The number of notifications that this one represents (see collapse keys). */
  collapsedCount: number;
}

export type View = "ACTIVE" | "UNREAD" | "SNOOZED" | "ARCHIVED";

/** A list of the store: a view, or the pinned notifications of `ACTIVE`. */
export type ListName = View | "PINNED";

/** Selects notifications of a view. They match each part of the filter: one of the categories, one of the tags, etc. */
export interface InboxFilter {
  /** Default: `ACTIVE`. */
  view?: View;
  /** The keys of categories, at most 20. */
  categories?: string[];
  /** At most 20. */
  tags?: string[];
  priorities?: Priority[];
  /** True for the pinned notifications, and false for the others. */
  pinned?: boolean;
  /** At most 10 words, each of which must occur in the title or body. */
  search?: string;
}

export interface InboxSnapshot {
  readonly status: Status;
  readonly unread: number;
  readonly unseen: number;
}

export interface NotificationList {
  /** Newest first, with the marks that the hub has not confirmed yet. */
  readonly items: readonly HubNotification[];
  readonly state: "loading" | "ready" | "failed";
  /** True if `loadMore` can load older notifications. */
  readonly hasMore: boolean;
}

/** A change that the hub refused. The store has reverted it. */
export interface RefusedChange {
  /** The name of the mutation, such as `markRead`. */
  verb: string;
  error: HubError;
}

/**
 * The inbox of the user. Marks are shown immediately in all tabs of the browser, are sent in order, and are reverted if
 * the hub refuses them. They throw an error if the inbox has no user.
 */
export interface InboxStore extends Store<InboxSnapshot> {
  /** Return the loaded notifications of a list: the same object until they change. */
  list(name: ListName): NotificationList;
  /** Load the first page of a list and keep the list loaded. `ACTIVE` and `PINNED` are always loaded. */
  load(name: ListName): void;
  /** Load the next page of a list, or try again after a failure. */
  loadMore(name: ListName): void;
  markRead(ids: string[]): void;
  markUnread(ids: string[]): void;
  /** Mark all notifications as read that are neither archived nor snoozed. Returns a function that undoes it, except for
   * notifications that were changed since. */
  markAllRead(): () => void;
  markAllSeen(): void;
  archive(ids: string[]): void;
  /** Archive all notifications of a view. Returns a function that undoes it in the same way. */
  archiveAll(view: Exclude<View, "ARCHIVED">): () => void;
  unarchive(ids: string[]): void;
  snooze(ids: string[], until: Date | string): void;
  unsnooze(ids: string[]): void;
  pin(ids: string[]): void;
  unpin(ids: string[]): void;
  acknowledge(ids: string[]): void;
  /** Take an action of a notification. Only the first action of a notification is taken. */
  act(id: string, key: string): void;
  /** Call `listener` with each notification that arrives. Returns a function that ends the calls. */
  on(event: "arrived", listener: (notification: HubNotification) => void): () => void;
  /** Call `listener` with each change that the hub refused. Returns a function that ends the calls. */
  on(event: "refused", listener: (change: RefusedChange) => void): () => void;
}
