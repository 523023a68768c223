/**
 * The hub's service worker: shows what is pushed, opens what is clicked, and reports both.
 *
 * It has no token and keeps nothing: all it knows is in the push (see `hub/send/channels/web_push.py`). An app that has
 * a service worker already takes this one in by `importScripts`; pushes and banners of others are left alone.
 */
export type {}; // a module to the compiler; the built file has neither import nor export

declare const self: ServiceWorkerGlobalScope;

/** What a push may hold. It comes from outside, so any of it may be missing or of another type. */
interface Push {
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

/** What a banner remembers for the click. */
interface Kept {
  id: string;
  receipt: string;
  /** By the action's key; the banner itself is "". */
  urls: Record<string, string>;
}

const TAG = "hub"; // of a push that says nothing
const UNTITLED = "New notification";

/** By its name: there is nobody else here, whose pages could be taken over too early, and whose pushes these could be. */
const ALONE = self.location.pathname === "/sw.js";

if (ALONE) {
  self.addEventListener("install", () => void self.skipWaiting());
  self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
}
self.addEventListener("push", (event) => {
  const push = read(event.data);
  if (ALONE || text(push.id)) event.waitUntil(show(push));
});
self.addEventListener("notificationclick", (event) => {
  const kept = (event.notification.data as { hub?: Kept } | null)?.hub;
  if (!kept) return;
  event.notification.close();
  event.waitUntil(
    Promise.all([report(kept.receipt, "clicked"), open(kept.urls[event.action] ?? (event.action ? "" : kept.urls[""]))]),
  );
});
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event as PushSubscriptionChangeEvent)));

function read(data: PushMessageData | null): Partial<Push> {
  try {
    const told: unknown = data?.json();
    return told && typeof told === "object" ? told : {};
  } catch {
    return {};
  }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** An address that may be opened: http(s), or a path of this origin. Empty for anything else. */
function address(value: unknown): string {
  try {
    const url = text(value) && new URL(text(value), self.registration.scope);
    return url && /^https?:$/.test(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

/** Something is shown in any case: browsers take the permission from who is pushed to in silence. */
async function show(push: Partial<Push>): Promise<void> {
  const id = text(push.id);
  const tag = text(push.tag) || id || TAG;
  const actions = (Array.isArray(push.actions) ? push.actions : []).filter(
    (one) => text(one?.action) && text(one?.title),
  );
  const urls = Object.fromEntries(actions.map((one) => [one.action, address(one.url)]));
  const kept: Kept = { id, receipt: address(push.receipt), urls: { ...urls, "": address(push.url) } };
  try {
    const [before] = await self.registration.getNotifications({ tag });
    await self.registration.showNotification(text(push.title) || UNTITLED, {
      body: text(push.body),
      tag,
      // What replaces another thing is heard; a double of the same one is not.
      renotify: before !== undefined && before.data?.hub?.id !== id,
      requireInteraction: push.priority === "CRITICAL",
      data: { hub: kept },
      ...(address(push.icon) && { icon: address(push.icon) }),
      ...(address(push.image) && { image: address(push.image) }),
      ...(Date.parse(text(push.createdAt)) && { timestamp: Date.parse(text(push.createdAt)) }),
      actions: actions.map(({ action, title }) => ({ action, title })),
    } as NotificationOptions);
  } catch (error) {
    return console.warn("hub: not shown", error); // the permission is gone, most likely
  }
  await report(kept.receipt, "delivered");
}

/** Tells the hub. Not told is no harm: a push that was taken counts as sent. */
async function report(receipt: string, event: "delivered" | "clicked"): Promise<void> {
  if (!receipt) return;
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ event });
    await fetch(receipt, { method: "POST", headers, body, keepalive: true, credentials: "omit" });
  } catch (error) {
    console.warn("hub: not reported", error);
  }
}

/** In a window that is open already, the one in front rather than another, where it is of this origin; else in a new one. */
async function open(url: string | undefined): Promise<void> {
  try {
    const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const windows = all.filter((one) => one.frameType === "top-level").sort((a, b) => inFront(b) - inFront(a));
    const here = !url || new URL(url).origin === self.location.origin;
    const window = windows.find((one) => one.url === url) ?? (here ? windows[0] : undefined);
    if (!window) return void (await self.clients.openWindow(url || self.registration.scope));
    await window.focus();
    if (url && url !== window.url) await window.navigate(url).catch(() => self.clients.openWindow(url));
  } catch (error) {
    console.warn("hub: not opened", error);
  }
}

const inFront = (window: WindowClient): number => Number(window.visibilityState === "visible") + Number(window.focused);

/** The browser has given the subscription another address. An open page tells the hub, or the next visit. */
async function renew(event: PushSubscriptionChangeEvent): Promise<void> {
  try {
    const options = event.oldSubscription?.options;
    if (!event.newSubscription && options) await self.registration.pushManager.subscribe(options);
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    for (const window of windows) window.postMessage({ hub: "resubscribed" });
  } catch (error) {
    console.warn("hub: not subscribed again", error);
  }
}
