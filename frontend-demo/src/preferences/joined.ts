/** What the elements of preferences have in common: whom they speak for, and in which language. */
import { LitElement, type PropertyDeclarations, type PropertyValues } from "lit";
import { join, type GetToken, type Hub } from "../hub/connection";
import { userOf } from "../hub/token";
import { followPageLanguage } from "../page";
import { Phrases } from "./phrases";

/**
 * Attributes: `endpoint` (`/graphql` of where the script came from), `token` or the property `getToken`, `locale`, and
 * `worker`, where this origin has the service worker (`/sw.js`).
 */
export abstract class Joined extends LitElement {
  static override properties: PropertyDeclarations = {
    endpoint: {},
    token: {},
    getToken: { attribute: false },
    locale: {},
    worker: {},
  };

  declare endpoint: string;
  declare token: string;
  declare getToken: GetToken | undefined;
  declare locale: string;
  declare worker: string;

  protected phrases = new Phrases("", () => this.#now());
  /** Whom to ask, while there is somebody to ask for. */
  protected hub: Hub | undefined;
  #joined: Hub | undefined;
  #joining: AbortController | undefined;
  #stopFollowing = () => {};

  constructor() {
    super();
    this.endpoint = `${new URL(import.meta.url).origin}/graphql`;
    this.token = "";
    this.locale = "";
    this.worker = "/sw.js";
  }

  /** There is no token, or none that the hub takes. */
  protected get signedOut(): boolean {
    return this.#joined ? this.#joined.status === "refused" : !this.token && !this.getToken;
  }

  /** There is a connection, or another one. */
  protected abstract entered(hub: Hub): void;

  /** There is none any more: what was of its person goes. */
  protected abstract left(): void;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stopFollowing();
    this.#leave();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stopFollowing = followPageLanguage(this.#chooseLanguage);
    if (!this.hasUpdated) return;
    this.#chooseLanguage();
    void this.#join();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("locale")) this.#chooseLanguage();
    const signedIn = !!(this.token || this.getToken);
    const another = !this.getToken && this.#joined && userOf(this.token) !== this.#joined.user;
    if (this.isConnected && (!signedIn || another || !this.#joining || changed.has("endpoint"))) void this.#join();
    // Another getToken is asked in its time: some pages make one at each rendering.
    else if (changed.has("token")) this.#joined?.refresh();
  }

  readonly #chooseLanguage = (): void => {
    this.phrases = new Phrases(this.locale, () => this.#now());
    this.requestUpdate();
  };

  #now(): number {
    return this.hub?.now() ?? Date.now();
  }

  async #join(): Promise<void> {
    this.#leave();
    if (!this.token && !this.getToken) return;
    const joining = (this.#joining = new AbortController());
    const { signal } = joining;
    try {
      const getToken: GetToken = (refused) => this.#current(refused);
      const hub = await join(this.endpoint, getToken, signal);
      if (signal.aborted) return hub.leave(getToken);
      signal.addEventListener("abort", () => hub.leave(getToken));
      hub.addEventListener("user", () => void this.#join(), { signal });
      hub.addEventListener("status", () => this.#follow(hub), { signal });
      this.#joined = hub;
      if (hub.status !== "refused") this.#enter(hub);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #current(refused?: string): string | Promise<string> {
    const token = this.getToken ? this.getToken(refused) : this.token;
    if (!token) throw new Error("neither a token nor getToken");
    return token;
  }

  /** Whose token the hub does not take is nobody, until it takes another. */
  #follow(hub: Hub): void {
    this.requestUpdate();
    if (hub.status === "refused") this.#exit();
    else if (hub.status === "live" && !this.hub) this.#enter(hub);
  }

  #enter(hub: Hub): void {
    this.hub = hub;
    this.entered(hub);
  }

  #exit(): void {
    if (!this.hub) return;
    this.hub = undefined;
    this.left();
    this.requestUpdate();
  }

  #leave(): void {
    this.#joining?.abort();
    this.#joining = this.#joined = undefined;
    this.#exit();
  }
}
