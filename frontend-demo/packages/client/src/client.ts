/** The connection of the stores of one user, which changes with the user's token. */
import { join, type HubConnection } from "./connection";
import { userOf } from "./token";
import type { ClientOptions, HubClient, Status } from "./types";

const LINGER_MS = 1_000; // a store whose last subscriber has left may get another one, for example on the next page

/** A store of a client. */
export interface Member {
  onConnect(hub: HubConnection): void;
  /** If `forget` is true (sign-out or another user), remove the data. */
  onDisconnect(forget: boolean): void;
  onStatus(hub: HubConnection): void;
}

/** Joins the page's connection while it has a token and members. */
export class Client implements HubClient {
  #options: ClientOptions;
  #hub: HubConnection | undefined;
  #joining: AbortController | undefined;
  readonly #members = new Map<Member, ReturnType<typeof setTimeout> | undefined>();

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get status(): Status {
    return this.#hub?.status ?? (hasToken(this.#options) ? "connecting" : "refused");
  }

  now(): number {
    return this.#hub?.now() ?? Date.now();
  }

  update(options: ClientOptions): void {
    const before = this.#options;
    this.#options = options;
    const { endpoint, token, getToken } = options;
    const isOtherUser = !getToken && !!token && !!this.#hub && userOf(token) !== this.#hub.user;
    if (isOtherUser || endpoint !== before.endpoint || hasToken(options) !== hasToken(before)) {
      this.#leave(isOtherUser || !hasToken(options));
      void this.#join();
    } else if (token !== before.token || !getToken !== !before.getToken) this.refresh();
  }

  refresh(): void {
    if (this.#hub) return this.#hub.refresh();
    if (!this.#joining) return;
    this.#leave(false); // `getToken` has failed, and would be called again later
    void this.#join();
  }

  close(): void {
    for (const timer of this.#members.values()) clearTimeout(timer);
    this.#leave(false);
    this.#members.clear();
  }

  /** Add a member. Returns a function that removes it after a short time, unless it is added again. */
  attach(member: Member): () => void {
    clearTimeout(this.#members.get(member));
    const isNew = !this.#members.has(member);
    this.#members.set(member, undefined);
    if (isNew && this.#hub) member.onConnect(this.#hub);
    if (!this.#joining) void this.#join();
    return () => {
      if (this.#members.has(member)) this.#members.set(member, setTimeout(() => this.#detach(member), LINGER_MS));
    };
  }

  #detach(member: Member): void {
    this.#members.delete(member);
    member.onDisconnect(false);
    if (!this.#members.size) this.#leave(false);
  }

  async #join(): Promise<void> {
    if (!hasToken(this.#options) || !this.#members.size) return;
    const { signal } = (this.#joining = new AbortController());
    const getToken = (refused?: string) => this.#requestToken(refused);
    try {
      const hub = await join(this.#options.endpoint, getToken, signal);
      if (signal.aborted) return hub.leave(getToken);
      signal.addEventListener("abort", () => hub.leave(getToken));
      hub.addEventListener("status", () => this.#members.forEach((_, member) => member.onStatus(hub)), { signal });
      hub.addEventListener("user", () => (this.#leave(true), void this.#join()), { signal });
      this.#hub = hub;
      for (const member of this.#members.keys()) member.onConnect(hub);
    } catch (error) {
      if (!signal.aborted) console.error("hub: cannot connect", error);
    }
  }

  #leave(forget: boolean): void {
    this.#hub = undefined;
    for (const member of this.#members.keys()) member.onDisconnect(forget);
    this.#joining?.abort();
    this.#joining = undefined;
  }

  /** Return an empty token if no user is signed in. The hub refuses it. */
  #requestToken(refused?: string): string | Promise<string> {
    const { token, getToken } = this.#options;
    return (getToken ? getToken(refused) : token) || "";
  }
}

const hasToken = ({ token, getToken }: ClientOptions): boolean => !!(token || getToken);
