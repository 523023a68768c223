/**
 * The hub's service worker. It shows each push message as a system notification, opens its URL on a click, and reports
 * both to the hub. A button without a URL is a choice of the user, which the hub records.
 *
 * The worker has no token and stores nothing, because the push message contains everything (see
 * `hub/send/channels/web_push.py`). An app with its own service worker loads this one with `importScripts`. Push
 * messages and notifications of the app are ignored.
 */
export type {}; // makes this file a module for the compiler; the built file has neither imports nor exports

declare const self: ServiceWorkerGlobalScope;

/** The payload of a push message. It is untrusted: any field may be missing or have another type. */
interface Payload {
  id: string;
  deliveryId: string;
  title: string;
  body: string;
  url: string;
  icon: string;
  image: string;
  tag: string;
  priority: string;
  createdAt: string;
  receipt: string;
  actions: { action: string; title: string; url: string }[];
}

/** The data that is stored with a system notification and used on a click. */
interface ClickData {
  id: string;
  /** The id of the delivery, which differs between the steps of one notification. */
  deliveryId: string;
  receipt: string;
  /** The URLs by the key of the action. The key "" is the notification itself. */
  urls: Record<string, string>;
}

const DEFAULT_TAG = "hub";
const DEFAULT_TITLE = "New notification";
const ACTIONS_MAX = 2; // browsers display no more

/** True if, by its file name, no app shares this worker. Only then does it control pages and handle every push. */
const STANDALONE = self.location.pathname === "/sw.js";

if (STANDALONE) {
  self.addEventListener("install", () => void self.skipWaiting());
  self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
}
self.addEventListener("push", (event) => {
  const payload = parse(event.data);
  if (STANDALONE || text(payload.id)) event.waitUntil(show(payload));
});
self.addEventListener("notificationclick", (event) => {
  const data = (event.notification.data as { hub?: ClickData } | null)?.hub;
  if (!data) return;
  event.notification.close();
  event.waitUntil(event.action && !data.urls[event.action] ? choose(data, event.action) : follow(data, event.action));
});
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event as PushSubscriptionChangeEvent)));

function parse(data: PushMessageData | null): Partial<Payload> {
  try {
    const payload: unknown = data?.json();
    return payload && typeof payload === "object" ? payload : {};
  } catch {
    return {};
  }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Return the absolute URL of an http or https URL or a path on this origin. Otherwise return an empty string. */
function safeUrl(value: unknown): string {
  try {
    const url = text(value) && new URL(text(value), self.registration.scope);
    return url && /^https?:$/.test(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

/** Show a notification for every push message, because browsers revoke the permission otherwise. */
async function show(payload: Partial<Payload>): Promise<void> {
  const id = text(payload.id);
  const tag = text(payload.tag) || id || DEFAULT_TAG;
  const actions = (Array.isArray(payload.actions) ? payload.actions : [])
    .filter((action) => text(action?.action) && text(action?.title))
    .slice(0, ACTIONS_MAX);
  const urls = Object.fromEntries(actions.map(({ action, url }) => [action, safeUrl(url)]));
  const data: ClickData = {
    id,
    deliveryId: text(payload.deliveryId) || id,
    receipt: safeUrl(payload.receipt),
    urls: { ...urls, "": safeUrl(payload.url) },
  };
  try {
    const [replaced] = await self.registration.getNotifications({ tag });
    await self.registration.showNotification(text(payload.title) || DEFAULT_TITLE, {
      body: text(payload.body),
      tag,
      // Alert again for another notification and for a later step, but not if the same message arrives twice.
      renotify: replaced !== undefined && replaced.data?.hub?.deliveryId !== data.deliveryId,
      requireInteraction: payload.priority === "CRITICAL",
      data: { hub: data },
      ...(safeUrl(payload.icon) && { icon: safeUrl(payload.icon) }),
      ...(safeUrl(payload.image) && { image: safeUrl(payload.image) }),
      ...(Date.parse(text(payload.createdAt)) && { timestamp: Date.parse(text(payload.createdAt)) }),
      actions: actions.map(({ action, title }) => ({ action, title })),
    } as NotificationOptions);
  } catch (error) {
    return console.warn("hub: the notification was not shown", error); // the permission was probably revoked
  }
  await report(data.receipt, "delivered");
}

/** Report to the hub. Return true if the hub recorded it; otherwise, the delivery remains SENT. */
async function report(receipt: string, event: "delivered" | "clicked", action?: string): Promise<boolean> {
  if (!receipt) return false;
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ event, action });
    return (await fetch(receipt, { method: "POST", headers, body, keepalive: true, credentials: "omit" })).ok;
  } catch (error) {
    console.warn("hub: the receipt was not sent", error);
    return false;
  }
}

/** Report a click, and open the URL of the notification (`action` is empty) or of one of its buttons. */
async function follow(data: ClickData, action: string): Promise<void> {
  await Promise.all([report(data.receipt, "clicked"), open(data.urls[action])]);
}

/** Record a choice in the hub without opening a window. If that fails, open the notification, which shows its state. */
async function choose(data: ClickData, action: string): Promise<void> {
  if (!(await report(data.receipt, "clicked", action))) await follow(data, "");
}

/** Open a URL on this origin in an open window, preferably the frontmost. Open other URLs in a new window. */
async function open(url: string | undefined): Promise<void> {
  try {
    const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const windows = all.filter(({ frameType }) => frameType === "top-level").sort((a, b) => frontness(b) - frontness(a));
    const sameOrigin = !url || new URL(url).origin === self.location.origin;
    const window = windows.find((open) => open.url === url) ?? (sameOrigin ? windows[0] : undefined);
    if (!window) return void (await self.clients.openWindow(url || self.registration.scope));
    await window.focus();
    if (url && url !== window.url) await window.navigate(url).catch(() => self.clients.openWindow(url));
  } catch (error) {
    console.warn("hub: the URL was not opened", error);
  }
}

const frontness = (window: WindowClient): number => Number(window.visibilityState === "visible") + Number(window.focused);

/** Subscribe again after the browser replaced the subscription. An open page or the next visit registers it. */
async function renew(event: PushSubscriptionChangeEvent): Promise<void> {
  try {
    const options = event.oldSubscription?.options;
    if (!event.newSubscription && options) await self.registration.pushManager.subscribe(options);
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    for (const window of windows) window.postMessage({ hub: "resubscribed" });
  } catch (error) {
    console.warn("hub: cannot subscribe again", error);
  }
}
