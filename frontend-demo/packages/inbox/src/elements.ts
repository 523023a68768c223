/** The public types of the elements. They do not depend on Lit. */
import type { GetToken, HubNotification, InboxFilter, NotificationAction, View } from "@notification-hub/client";
import type { Channel } from "@notification-hub/client/preferences";
import type { Messages } from "./locales/inbox/en.js";

export type { GetToken, HubNotification, InboxFilter, NotificationAction, View };

/** `auto` follows the system. Without a theme, the element follows the color scheme of the page. */
export type Theme = "light" | "dark" | "auto";
/** Texts that replace the texts of the language. */
export type Words = Partial<Messages>;

/** A view with its default label, or a filter with a label. */
export type InboxTab = View | { label: string; filter: InboxFilter };

/** The attributes and properties that all elements have. */
export interface HubElement extends HTMLElement {
  /** The URL of the hub's GraphQL endpoint. Default: `/graphql` on the origin of the page. */
  endpoint: string | null | undefined;
  token: string | null | undefined;
  /** Used instead of `token` if set. Called whenever a new token is required. */
  getToken: GetToken | null | undefined;
  /** A BCP 47 tag. Default: the language of the page. */
  locale: string | null | undefined;
  /** Request a new token now. Call this method after another user signed in. */
  refresh(): void;
}

/**
 * Returns what a row shows in place of the picture, title, and text of a notification: a node, a Lit template, or text.
 * It is a child of the element, so the styles of the page apply.
 */
export type RenderItem = (notification: HubNotification) => unknown;

export interface HubInboxListElement extends HubElement {
  theme: Theme | null;
  words: Words | null | undefined;
  /** Default: a tab for each view. */
  tabs: readonly InboxTab[] | null | undefined;
  /** Show the notifications of one thread as one row. */
  groupThreads: boolean;
  renderItem: RenderItem | null | undefined;
  /** The URLs of images, by the key of the category. */
  categoryIcons: Record<string, string> | null | undefined;
  /** Show the number of unread notifications before the title of the page. */
  titleCount: boolean;
  /** Show the number of unread notifications on the icon of the installed app, where browsers can. */
  appBadge: boolean;
}

export interface HubInboxElement extends HubInboxListElement {
  /** Keep the panel open after the page has handled a link, unless the panel fills the screen. */
  keepOpen: boolean;
  /** Show notifications that arrive while the panel is closed in a corner of the page. */
  toasts: boolean;
  open(): void;
  close(): void;
}

export interface HubPreferencesElement extends HubElement {
  theme: Theme | null;
  /** The path of the service worker on this origin. */
  worker: string;
  /** The id of the notification that the dialog "Why did I get this?" explains. */
  why: string | null;
  onlyWhy: boolean;
  /** Open the dialog "Why did I get this?" for a notification. */
  explain(id: string): Promise<void>;
  /** Load the preferences again. Resolves to false on failure. */
  reload(): Promise<boolean>;
}

/**
 * `unavailable`: the hub has no key. `taken`: the app has its own subscription with another key. `missing`: the service
 * worker cannot be loaded.
 */
export type PushState = "unsupported" | "unavailable" | "denied" | "taken" | "missing" | "off" | "on";

export interface HubPushElement extends HubElement {
  worker: string;
  readonly state: PushState | undefined;
  /** Unsubscribe this browser. Await this method before you sign the user out, and remove the token afterward. */
  turnOff(): Promise<void>;
}

/** If the page cancels the event, the browser does not follow `url`. A URL of the page's origin is a path. */
export interface OpenDetail {
  notification: HubNotification;
  url?: string;
}

export interface ActionDetail {
  notification: HubNotification;
  action: NotificationAction["key"];
  url?: string;
}

export interface CountDetail {
  unread: number;
  unseen: number;
}

/** If the page cancels the event, no toast is shown. */
export interface ArrivedDetail {
  notification: HubNotification;
}

/** The rows that are displayed and have content from `renderItem`, by the elements that contain it. */
export interface RowsDetail {
  rows: ReadonlyMap<HTMLElement, HubNotification>;
}

/** If the page cancels the event, it lets the user add an address for the channel itself. */
export interface AddAddressDetail {
  channel: Channel;
}

export interface HubEvents {
  "hub-open": CustomEvent<OpenDetail>;
  "hub-action": CustomEvent<ActionDetail>;
  "hub-count": CustomEvent<CountDetail>;
  "hub-arrived": CustomEvent<ArrivedDetail>;
  /** Dispatched after `renderItem` was called or rows were removed. It does not bubble. */
  "hub-rows": CustomEvent<RowsDetail>;
  "hub-why": CustomEvent<{ id: string }>;
  "hub-why-closed": CustomEvent<{ id: string }>;
  "hub-add-address": CustomEvent<AddAddressDetail>;
  "hub-push": CustomEvent<{ state: PushState; device?: string }>;
}

declare global {
  interface HTMLElementTagNameMap {
    "hub-inbox": HubInboxElement;
    "hub-inbox-list": HubInboxListElement;
    "hub-preferences": HubPreferencesElement;
    "hub-push": HubPushElement;
  }
  // The events bubble.
  interface GlobalEventHandlersEventMap extends HubEvents {}
}
