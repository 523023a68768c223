/** What the elements of preferences have in common: whom they speak for, and in which language. */
import { LitElement, type PropertyDeclarations, type PropertyValues } from "lit";
import { join, type GetToken, type Hub } from "../hub/connection";
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

  protected phrases = new Phrases("");
  protected hub: Hub | undefined;
  #joining: AbortController | undefined;

  constructor() {
    super();
    this.endpoint = `${new URL(import.meta.url).origin}/graphql`;
    this.token = "";
    this.locale = "";
    this.worker = "/sw.js";
  }

  /** There is a connection, or another one. */
  protected abstract entered(hub: Hub): void;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#leave();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) void this.#join();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("locale")) this.phrases = new Phrases(this.locale);
    if (changed.has("endpoint") || !this.#joining) void this.#join();
    else if (changed.has("token") || changed.has("getToken")) this.hub?.refresh();
  }

  async #join(): Promise<void> {
    this.#leave();
    if (!this.token && !this.getToken) return;
    const joining = (this.#joining = new AbortController());
    const { signal } = joining;
    try {
      const getToken: GetToken = (refused) => this.#current(refused);
      const hub = await join(this.endpoint, getToken, signal);
      signal.addEventListener("abort", () => hub.leave(getToken));
      hub.addEventListener("user", () => void this.#join(), { signal });
      this.hub = hub;
      this.entered(hub);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #current(refused?: string): string | Promise<string> {
    const token = this.getToken ? this.getToken(refused) : this.token;
    if (!token) throw new Error("neither a token nor getToken");
    return token;
  }

  #leave(): void {
    this.#joining?.abort();
    this.#joining = undefined;
    this.hub = undefined;
  }
}
