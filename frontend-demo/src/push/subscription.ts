/**
 * This browser's subscription to web push, for one person: turned on, turned off, and kept in step with the hub.
 *
 * What was registered is remembered in local storage, by hub and person, so that another person at the same browser
 * finds it off, and a subscription that the browser renewed is registered again.
 */
import { HubError, type Hub } from "../hub/connection";
import { graphql } from "../hub/graphql";

/**
 * `unavailable`: the hub has no keys for it. `taken`: the app subscribed this browser with a key that is not the hub's.
 * `missing`: this origin has no service worker where it should.
 */
export type PushState = "unsupported" | "unavailable" | "denied" | "taken" | "missing" | "off" | "on";

const Known = graphql(`
  query PushKnown {
    me { devices { id } }
  }
`);
const Key = graphql(`
  query PushKey {
    webPushKey
  }
`);
const Register = graphql(`
  mutation RegisterPush($input: WebPushInput!) {
    registerWebPush(input: $input) { id }
  }
`);
export const Remove = graphql(`
  mutation RemoveDevice($id: ID!) {
    removeDevice(id: $id)
  }
`);

interface Registered {
  device: string;
  endpoint: string;
}

export class Subscription {
  readonly #hub: Hub;
  readonly #worker: string;

  /** `worker`: where this origin has the service worker. */
  constructor(hub: Hub, worker: string) {
    this.#hub = hub;
    this.#worker = worker;
  }

  /** The id under which the hub knows this browser, as far as this browser remembers. */
  get device(): string | undefined {
    return this.#registered?.device;
  }

  /** Where it stands, after mending what can be mended without asking anybody. */
  async state(): Promise<PushState> {
    if (!supported()) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    const registered = this.#registered;
    if (!registered || Notification.permission !== "granted") return (await this.#key()) ? "off" : "unavailable";
    const { me } = await this.#hub.query(Known);
    const current = await this.#current();
    if (!me.devices.some(({ id }) => id === registered.device) && current?.endpoint === registered.endpoint) {
      this.#registered = undefined; // it was removed on another device, or somebody else has this browser now
      if (!this.#isOurs(current)) await current.unsubscribe();
      return "off";
    }
    if (current?.endpoint !== registered.endpoint) return this.#subscribe();
    return "on";
  }

  /** Asks for the permission: call it when somebody has just pressed a button, and before waiting for anything. */
  async turnOn(): Promise<PushState> {
    const permission = await Notification.requestPermission();
    if (permission !== "granted") return permission === "denied" ? "denied" : "off";
    return this.#subscribe();
  }

  async turnOff(): Promise<PushState> {
    const { device } = this;
    await this.#forget(await this.#current());
    if (device) await this.#hub.mutate(Remove, { id: device });
    return "off";
  }

  /** As `turnOff`, for whoever can't wait for the hub: it is told, but what was unsubscribed stays silent in any case. */
  async leave(): Promise<void> {
    const { device } = this;
    if (!device) return;
    this.#hub.post(Remove, { id: device });
    await this.#forget(await this.#current());
  }

  async #subscribe(): Promise<PushState> {
    const key = await this.#key();
    if (!key) return "unavailable";
    const registration = await this.#register();
    if (!registration) return "missing";
    await active(registration);
    let subscription = await registration.pushManager.getSubscription();
    if (subscription && base64url(subscription.options.applicationServerKey) !== key) {
      if (!this.#isOurs(subscription)) return "taken";
      await subscription.unsubscribe(); // the hub has another key now
      subscription = null;
    }
    subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    const { endpoint, keys } = subscription.toJSON();
    const input = { endpoint: endpoint ?? "", p256dh: keys?.p256dh ?? "", auth: keys?.auth ?? "", label: browser() };
    const { registerWebPush } = await this.#hub.mutate(Register, { input });
    const before = this.device;
    this.#registered = { device: registerWebPush.id, endpoint: subscription.endpoint };
    if (before && before !== registerWebPush.id) await this.#hub.mutate(Remove, { id: before });
    return "on";
  }

  async #register(): Promise<ServiceWorkerRegistration | undefined> {
    try {
      return await navigator.serviceWorker.register(trusted(this.#worker));
    } catch (error) {
      console.warn(`hub: no service worker at ${this.#worker}; see docs/frontend/web-push.md of the hub:`, error);
      return undefined;
    }
  }

  async #current(): Promise<PushSubscription | null | undefined> {
    const registration = await navigator.serviceWorker.getRegistration(new URL(this.#worker, location.href));
    return registration?.pushManager.getSubscription();
  }

  async #forget(subscription: PushSubscription | null | undefined): Promise<void> {
    this.#registered = undefined;
    await subscription?.unsubscribe();
  }

  async #key(): Promise<string | undefined> {
    try {
      return (await this.#hub.query(Key)).webPushKey;
    } catch (error) {
      if (error instanceof HubError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  get #registered(): Registered | undefined {
    return remembered(this.#name);
  }

  set #registered(known: Registered | undefined) {
    try {
      if (known) localStorage.setItem(this.#name, JSON.stringify(known));
      else localStorage.removeItem(this.#name);
    } catch {
      // without storage it is off at the next visit
    }
  }

  get #name(): string {
    return `${this.#names}${this.#hub.user}`;
  }

  /** Of everybody at this browser. */
  get #names(): string {
    return `hub-push ${this.#hub.endpoint} `;
  }

  /** Whether it was made for somebody at this browser, and not by the app for itself. */
  #isOurs({ endpoint }: PushSubscription): boolean {
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(this.#names));
      return names.some((name) => remembered(name)?.endpoint === endpoint);
    } catch {
      return false;
    }
  }
}

function remembered(name: string): Registered | undefined {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null") ?? undefined;
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

/** What a page that requires Trusted Types asks for: let it allow `hub-push`. The address is the page's own word. */
function trusted(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  policy ??= types?.createPolicy("hub-push", { createScriptURL: (given) => given });
  return policy?.createScriptURL(url) ?? url;
}

/** A worker that is active: before, nothing can be subscribed. */
function active(registration: ServiceWorkerRegistration): Promise<void> {
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

/** What people call this browser: `Firefox, Linux`. */
function browser(): string {
  const { userAgent } = navigator;
  const names = { Edg: "Edge", OPR: "Opera", Firefox: "Firefox", Chrome: "Chrome", Safari: "Safari" };
  const systems = { Android: "Android", iPhone: "iPhone", iPad: "iPad", Windows: "Windows", Mac: "Mac", Linux: "Linux" };
  const found = [names, systems].map((known) => Object.entries(known).find(([mark]) => userAgent.includes(mark))?.[1]);
  return found.filter(Boolean).join(", ") || "Browser";
}
