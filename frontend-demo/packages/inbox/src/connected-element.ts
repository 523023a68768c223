/** The base class of the elements that connect to the hub, with their token, connection, and language. */
import { LitElement, type PropertyDeclarations, type PropertyValues } from "lit";
import { join, type GetToken, type HubConnection, type Status } from "../../client/src/connection";
import { userOf } from "../../client/src/token";
import type { Catalog, I18n } from "./i18n";
import { followPageLanguage } from "./page";

/**
 * Attributes: `endpoint` (default: `/graphql` on the origin of this script), `token`, `locale`. Property: `getToken`,
 * used instead of `token` if set.
 *
 * The element joins the page's connection when it is on the page and has a token. It leaves the connection when it is
 * removed or has no token, and then removes the user's data. If it is moved within the page, it keeps the connection.
 */
export abstract class ConnectedElement<Messages extends Catalog> extends LitElement {
  static override properties: PropertyDeclarations = {
    endpoint: {},
    token: {},
    getToken: { attribute: false },
    locale: {},
  };

  declare endpoint: string | null | undefined;
  declare token: string | null | undefined;
  declare getToken: GetToken | null | undefined;
  declare locale: string | null | undefined;

  /** The connection while it can be used (see `keepsRefusedConnection`). */
  protected hub: HubConnection | undefined;
  protected i18n: I18n<Messages> = this.createI18n();
  /** If true, the element handles a refused token and is not disconnected. */
  protected readonly keepsRefusedConnection: boolean = false;
  #joined: HubConnection | undefined;
  #joining: AbortController | undefined;
  #stopFollowing = () => {};

  /** Called with a new connection. */
  protected abstract onConnect(hub: HubConnection): void;

  /** Called when the connection ends. If `forget` is true, remove the user's data from the browser: the user
   * signed out, another user signed in, or the page removed the element. */
  protected abstract onDisconnect(forget: boolean): void;

  protected abstract createI18n(): I18n<Messages>;

  /** Request a new token now, before the current token expires. */
  refresh(): void {
    if (this.#joined) this.#joined.refresh();
    else if (this.#joining) void this.rejoin(); // `getToken` has failed, and would be called again later
  }

  /** The status of the connection. Without a token, the status is `refused`. */
  protected get status(): Status {
    return this.#joined?.status ?? (this.#hasToken ? "connecting" : "refused");
  }

  /** The current time in milliseconds, on the hub's clock if its time is available. */
  protected now(): number {
    return this.hub?.now() ?? Date.now();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stopFollowing = followPageLanguage(this.updateLanguage);
    this.updateLanguage(); // the update joins again
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stopFollowing();
    queueMicrotask(() => this.isConnected || this.#leave(true)); // the element may only have been moved
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("locale")) this.updateLanguage();
    if (!this.isConnected) return;
    const isOtherUser = !this.getToken && !!this.token && !!this.#joined && userOf(this.token) !== this.#joined.user;
    // Some pages create a new getToken function on each render, so replacing one with another changes nothing.
    const getTokenToggled = changed.has("getToken") && !(changed.get("getToken") && this.getToken);
    if (isOtherUser) this.#leave(true);
    if (changed.has("endpoint") || this.#hasToken !== !!this.#joining) void this.rejoin();
    else if (changed.has("token") || getTokenToggled) this.refresh();
  }

  /** Use the current language. Until its texts are loaded, the element is English. */
  protected readonly updateLanguage = (): void => {
    const i18n = (this.i18n = this.createI18n());
    this.requestUpdate();
    void i18n.load().then((loaded) => loaded && this.i18n === i18n && this.updateLanguage());
  };

  protected async rejoin(): Promise<void> {
    this.#leave();
    if (!this.#hasToken) return;
    const { signal } = (this.#joining = new AbortController());
    const endpoint = this.endpoint || `${new URL(import.meta.url).origin}/graphql`;
    const getToken: GetToken = (refused) => this.#requestToken(refused);
    try {
      const hub = await join(endpoint, getToken, signal);
      if (signal.aborted) return hub.leave(getToken);
      signal.addEventListener("abort", () => hub.leave(getToken));
      hub.addEventListener("status", () => this.#onStatus(hub), { signal });
      hub.addEventListener("clock", () => this.requestUpdate(), { signal });
      hub.addEventListener("user", () => (this.#leave(true), void this.rejoin()), { signal });
      this.#joined = hub;
      if (hub.status !== "refused" || this.keepsRefusedConnection) this.#connect(hub);
      this.requestUpdate();
    } catch (error) {
      if (!signal.aborted) console.error("hub: cannot connect", error);
    }
  }

  get #hasToken(): boolean {
    return !!(this.token || this.getToken);
  }

  /** Return an empty token if no user is signed in. The hub refuses it. */
  #requestToken(refused?: string): string | Promise<string> {
    return (this.getToken ? this.getToken(refused) : this.token) || "";
  }

  #onStatus(hub: HubConnection): void {
    this.requestUpdate();
    if (hub.status === "refused" && !this.keepsRefusedConnection) this.#disconnect(true);
    else if (hub.status === "live" && !this.hub) this.#connect(hub);
  }

  #connect(hub: HubConnection): void {
    this.hub = hub;
    this.onConnect(hub);
  }

  #disconnect(forget: boolean): void {
    if (!this.hub) return;
    this.hub = undefined;
    this.onDisconnect(forget);
    this.requestUpdate();
  }

  #leave(forget = !this.#hasToken): void {
    this.#disconnect(forget);
    this.#joining?.abort();
    this.#joining = this.#joined = undefined;
  }
}
