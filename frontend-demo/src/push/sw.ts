/**
 * The hub's service worker: shows each push as a system notification, opens its URL on a click, and reports both.
 *
 * It has no token and stores nothing: everything it needs is in the push (see `hub/send/channels/web_push.py`). An app
 * with a service worker of its own loads this one by `importScripts`. Pushes and notifications of the app are ignored.
 */
export type {}; // makes this a module for the compiler; the built file has neither imports nor exports

declare const self: ServiceWorkerGlobalScope;

/** The payload of a push. It is untrusted input: any field may be missing or of another type. */
interface Payload {
  id: string;
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

/** Stored with a system notification for its click. */
interface ClickData {
  id: string;
  receipt: string;
  /** By the key of the action; "" is the notification itself. */
  urls: Record<string, string>;
}

const DEFAULT_TAG = "hub";
const DEFAULT_TITLE = "New notification";

/** The file name shows that no app shares this worker. Only then it takes control of pages and handles every push. */
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
  event.waitUntil(
    Promise.all([report(data.receipt, "clicked"), open(data.urls[event.action] ?? (event.action ? "" : data.urls[""]))]),
  );
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

/** Return the absolute URL if it is http, https or a path on this origin, otherwise an empty string. */
function safeUrl(value: unknown): string {
  try {
    const url = text(value) && new URL(text(value), self.registration.scope);
    return url && /^https?:$/.test(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

/** Show a notification for every push: browsers revoke the permission otherwise. */
async function show(payload: Partial<Payload>): Promise<void> {
  const id = text(payload.id);
  const tag = text(payload.tag) || id || DEFAULT_TAG;
  const actions = (Array.isArray(payload.actions) ? payload.actions : []).filter(
    (action) => text(action?.action) && text(action?.title),
  );
  const urls = Object.fromEntries(actions.map(({ action, url }) => [action, safeUrl(url)]));
  const data: ClickData = { id, receipt: safeUrl(payload.receipt), urls: { ...urls, "": safeUrl(payload.url) } };
  try {
    const [replaced] = await self.registration.getNotifications({ tag });
    await self.registration.showNotification(text(payload.title) || DEFAULT_TITLE, {
      body: text(payload.body),
      tag,
      // Alert again if another notification is replaced, not if the same one arrives twice.
      renotify: replaced !== undefined && replaced.data?.hub?.id !== id,
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

/** Report to the hub. Errors are ignored: the delivery then stays SENT. */
async function report(receipt: string, event: "delivered" | "clicked"): Promise<void> {
  if (!receipt) return;
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ event });
    await fetch(receipt, { method: "POST", headers, body, keepalive: true, credentials: "omit" });
  } catch (error) {
    console.warn("hub: the receipt was not sent", error);
  }
}

/** Open the URL: in an open window, preferably the frontmost, if it is on this origin, otherwise in a new window. */
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

/** Subscribe again after the browser replaced the subscription. An open page registers it, or the next visit does. */
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
