/**
 * The web push subscription of this browser for one user, which is synchronized with the hub.
 *
 * Local storage contains the registered device per hub and user. Therefore push is off for another user of the same
 * browser, and a subscription that the browser renewed is registered again.
 */
import { HubError, type HubConnection } from "../../../client/src/connection";
import { graphql } from "../../../client/src/graphql";
import { RemoveDevice } from "../../../client/src/preferences/operations";
import type { PushState } from "../elements";

export type { PushState };

const Devices = graphql(`
  query PushDevices {
    me { devices { id } }
  }
`);
const PushKey = graphql(`
  query PushKey {
    webPushKey
  }
`);
const RegisterPush = graphql(`
  mutation RegisterPush($input: WebPushInput!) {
    registerWebPush(input: $input) { id }
  }
`);

interface Registered {
  device: string;
  endpoint: string;
}

export class PushSubscriber {
  readonly #hub: HubConnection;
  readonly #worker: string;

  /** `worker` is the path of the service worker on this origin. */
  constructor(hub: HubConnection, worker: string) {
    this.#hub = hub;
    this.#worker = worker;
  }

  /** The id of this browser among the user's devices, if it is registered. */
  get device(): string | undefined {
    return this.#registered?.device;
  }

  /** Return the state. Register a renewed subscription, and remove a subscription whose device no longer exists. */
  async state(): Promise<PushState> {
    if (!supported()) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    const registered = this.#registered;
    if (!registered || Notification.permission !== "granted") return (await this.#key()) ? "off" : "unavailable";
    const { me } = await this.#hub.query(Devices);
    const current = await this.#currentSubscription();
    if (!me.devices.some(({ id }) => id === registered.device) && current?.endpoint === registered.endpoint) {
      this.#registered = undefined; // removed on another device, or registered by another user of this browser
      if (!this.#isOurs(current)) await current.unsubscribe();
      return "off";
    }
    if (current?.endpoint !== registered.endpoint) return this.#subscribe();
    return "on";
  }

  /** Request the permission. Call this method in a click handler, before any `await`. */
  async turnOn(): Promise<PushState> {
    const permission = await Notification.requestPermission();
    if (permission !== "granted") return permission === "denied" ? "denied" : "off";
    return this.#subscribe();
  }

  async turnOff(): Promise<PushState> {
    const { device } = this;
    await this.#unsubscribe(await this.#currentSubscription());
    if (device) await this.#hub.mutate(RemoveDevice, { id: device });
    return "off";
  }

  /** Like `turnOff`, but does not wait for the hub. In any case, this browser then receives no push messages. */
  async leave(): Promise<void> {
    const { device } = this;
    if (!device) return;
    this.#hub.post(RemoveDevice, { id: device }).catch(() => {}); // then the hub removes the device when a push to it fails
    await this.#unsubscribe(await this.#currentSubscription());
  }

  async #subscribe(): Promise<PushState> {
    const key = await this.#key();
    if (!key) return "unavailable";
    const registration = await this.#registerWorker();
    if (!registration) return "missing";
    await activated(registration);
    let subscription = await registration.pushManager.getSubscription();
    if (subscription && base64url(subscription.options.applicationServerKey) !== key) {
      if (!this.#isOurs(subscription)) return "taken";
      await subscription.unsubscribe(); // the hub has another key now
      subscription = null;
    }
    subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    const { endpoint, keys } = subscription.toJSON();
    const input = { endpoint: endpoint ?? "", p256dh: keys?.p256dh ?? "", auth: keys?.auth ?? "", label: browserName() };
    const { registerWebPush } = await this.#hub.mutate(RegisterPush, { input });
    const before = this.device;
    this.#registered = { device: registerWebPush.id, endpoint: subscription.endpoint };
    if (before && before !== registerWebPush.id) await this.#hub.mutate(RemoveDevice, { id: before });
    return "on";
  }

  async #registerWorker(): Promise<ServiceWorkerRegistration | undefined> {
    try {
      return await navigator.serviceWorker.register(trustedScriptUrl(this.#worker));
    } catch (error) {
      console.warn(`hub: cannot load the service worker ${this.#worker}; see docs/frontend/web-push.md of the hub:`, error);
      return undefined;
    }
  }

  async #currentSubscription(): Promise<PushSubscription | null | undefined> {
    const registration = await navigator.serviceWorker.getRegistration(new URL(this.#worker, location.href));
    return registration?.pushManager.getSubscription();
  }

  async #unsubscribe(subscription: PushSubscription | null | undefined): Promise<void> {
    this.#registered = undefined;
    await subscription?.unsubscribe();
  }

  async #key(): Promise<string | undefined> {
    try {
      return (await this.#hub.query(PushKey)).webPushKey;
    } catch (error) {
      if (error instanceof HubError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  get #registered(): Registered | undefined {
    return stored(this.#storageKey);
  }

  set #registered(registered: Registered | undefined) {
    try {
      if (registered) localStorage.setItem(this.#storageKey, JSON.stringify(registered));
      else localStorage.removeItem(this.#storageKey);
    } catch {
      // Storage is blocked, so push is off on the next visit.
    }
  }

  get #storageKey(): string {
    return `${this.#storagePrefix}${this.#hub.user}`;
  }

  /** The prefix of the storage keys of all users of this browser. */
  get #storagePrefix(): string {
    return `hub-push ${this.#hub.endpoint} `;
  }

  /** Return true if a user of this browser registered the subscription, or false if it belongs to the app. */
  #isOurs({ endpoint }: PushSubscription): boolean {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.#storagePrefix));
      return keys.some((key) => stored(key)?.endpoint === endpoint);
    } catch {
      return false;
    }
  }
}

function stored(key: string): Registered | undefined {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

function supported(): boolean {
  return isSecureContext && "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

let policy: { createScriptURL(url: string): string } | undefined;

/** Return the URL in the form that pages with Trusted Types require. They allow the policy `hub-push`; the URL is their own. */
function trustedScriptUrl(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  policy ??= types?.createPolicy("hub-push", { createScriptURL: (url) => url });
  return policy?.createScriptURL(url) ?? url;
}

/** Wait until the worker is active, because an inactive worker cannot subscribe. */
function activated(registration: ServiceWorkerRegistration): Promise<void> {
  return new Promise((resolve) => {
    const worker = registration.installing ?? registration.waiting;
    if (registration.active || !worker) return resolve();
    worker.addEventListener("statechange", () => registration.active && resolve());
  });
}

function base64url(bytes: ArrayBuffer | null): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes ?? [])))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** Return a name such as `Firefox, Linux`. */
function browserName(): string {
  const { userAgent } = navigator;
  const names = { Edg: "Edge", OPR: "Opera", Firefox: "Firefox", Chrome: "Chrome", Safari: "Safari" };
  const systems = { Android: "Android", iPhone: "iPhone", iPad: "iPad", Windows: "Windows", Mac: "Mac", Linux: "Linux" };
  const parts = [names, systems].map((table) => Object.entries(table).find(([token]) => userAgent.includes(token))?.[1]);
  return parts.filter(Boolean).join(", ") || "Browser";
}
