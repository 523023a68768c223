import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { join, type GetToken, type Hub } from "../hub/connection";
import { Inbox, type Item } from "../hub/inbox";
import { define, followPageLanguage } from "../page";
import { Language, type Words } from "../words/language";
import { icons } from "./icons";
import { InboxPanel } from "./panel";
import { bellStyles, theme } from "./styles";

const BADGE_MAX = 99;
const ANNOUNCE_AFTER_MS = 700;
const EDGE_PX = 8;

/**
 * A bell with the count of what is unread, and the inbox behind it: `<hub-inbox token="...">`.
 *
 * Attributes: `endpoint` (by default `/graphql` where this script came from), `token`, `locale`, `theme` (`light`,
 * `dark`, `auto`; by default the page's colour scheme). Properties: `getToken`, which is asked for a token before each
 * connection, and `words`, which go before those of the language. Slot: `header`. Events: `hub-count` with
 * `{unread, unseen}`; `hub-open` with `{notification, url}` and `hub-action` with `{notification, action, url}`: cancel
 * them, and no link is followed. `url` is a path where it is of the page's own origin, as routers take it.
 */
export class HubInbox extends LitElement {
  static override styles = [theme, bellStyles];
  static override properties = {
    endpoint: {},
    token: {},
    locale: {},
    theme: { reflect: true },
    getToken: { attribute: false },
    words: { attribute: false },
    _hub: { state: true },
    _inbox: { state: true },
    _open: { state: true },
    _news: { state: true },
  };
  declare endpoint: string | null;
  declare token: string | null;
  declare locale: string | null;
  declare theme: "light" | "dark" | "auto" | null;
  declare getToken: GetToken | null;
  declare words: Partial<Words> | null;
  declare _hub: Hub | undefined;
  declare _inbox: Inbox | undefined;
  declare _open: boolean;
  declare _news: string;

  #language = new Language(Language.ofPage());
  #joining: AbortController | undefined;
  #getToken: GetToken = () => "";
  #stopFollowing = () => {};
  #told = "";
  #returning = false; // the focus goes back to the bell, unless it has gone elsewhere
  #arrived: Item[] = [];
  #announcing: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this._open = false;
    this._news = "";
  }

  /** Opens the panel, as the bell does. */
  open(): void {
    this.#panel?.showPopover();
  }

  close(): void {
    this.#panel?.hidePopover();
  }

  /** There may be another token now: asks `getToken` for it, instead of waiting until the one in use ends. */
  refresh(): void {
    if (this._inbox?.forbidden) void this.#join();
    else this._hub?.refresh();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stopFollowing = followPageLanguage(this.#chooseLanguage);
    if (this.hasUpdated) this.#chooseLanguage();
    if (this.hasUpdated && !this._hub) void this.#join();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stopFollowing();
    queueMicrotask(() => this.isConnected || this.#leave()); // it may only have been moved
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("locale") || changed.has("words")) this.#chooseLanguage();
    // Another function in the place of one is asked in its time: some pages make one at each rendering.
    const cameOrWent = (name: "token" | "getToken") => changed.has(name) && !(changed.get(name) && this[name]);
    if (changed.has("endpoint") || cameOrWent("token") || cameOrWent("getToken")) void this.#join();
    else if (changed.has("token")) this.refresh();
  }

  protected override render(): TemplateResult {
    const unread = this._inbox?.unread ?? 0;
    const unseen = this._inbox?.unseen ?? 0;
    const language = this.#language;
    const signedIn = this.token || this.getToken ? "connecting" : "refused";
    const status = this._inbox?.forbidden ? "refused" : (this._hub?.status ?? signedIn);
    const shown = unread > BADGE_MAX ? `${language.number(BADGE_MAX)}+` : language.number(unread);
    const name = language.say("notifications") + (unread ? `, ${language.count("countUnread", unread)}` : "");
    return html`<button class="bell" part="bell" popovertarget="panel" aria-haspopup="dialog" aria-label=${name} lang=${language.locale} dir=${language.dir}>
        ${icons.bell}${unread
          ? html`<span class="badge ${unseen ? "" : "seen"}" part="badge" aria-hidden="true">${shown}</span>`
          : nothing}
      </button>
      <div
        class="panel"
        id="panel"
        part="panel"
        popover
        role="dialog"
        aria-label=${language.say("notifications")}
        lang=${language.locale}
        dir=${language.dir}
        @beforetoggle=${this.#onBeforeToggle}
        @toggle=${this.#onToggle}
        @focusout=${this.#onFocusOut}
      >
        <hub-inbox-panel
          theme=${this.theme || nothing}
          .inbox=${this._inbox}
          .language=${language}
          .status=${status}
          .open=${this._open}
          @close=${this.close}
        ><slot name="header" slot="header"></slot></hub-inbox-panel>
      </div>
      <div class="hidden" role="status">${this._news}</div>`;
  }

  /** The element's own language, or the page's as it is now. */
  readonly #chooseLanguage = (): void => {
    this.#language = new Language(this.locale || Language.ofPage(), this.words ?? {});
    this.requestUpdate();
  };

  // ------------------------------------------------------------ the hub

  async #join(): Promise<void> {
    this.#leave();
    if (!this.token && !this.getToken) return;
    const joining = (this.#joining = new AbortController());
    const endpoint = this.endpoint || new URL(/* @vite-ignore */ "/graphql", import.meta.url).href;
    const getToken: GetToken = (this.#getToken = (refused) => {
      const token = this.getToken ? this.getToken(refused) : this.token;
      if (!token) throw new Error("neither a token nor getToken");
      return token;
    });
    let hub: Hub | undefined;
    try {
      hub = await join(endpoint, getToken, joining.signal);
      joining.signal.throwIfAborted();
      this._inbox = new Inbox(hub);
    } catch (error) {
      hub?.leave(getToken);
      if (!joining.signal.aborted) console.error("hub: no inbox", error);
      return; // left meanwhile
    }
    this._hub = hub;
    hub.addEventListener("status", this.#onStatus);
    hub.addEventListener("user", this.#onUser);
    this._inbox.addEventListener("change", this.#onChange);
    this._inbox.addEventListener("arrived", this.#onArrived);
  }

  #leave(forget = !this.token && !this.getToken): void {
    this.#joining?.abort();
    if (forget) this._inbox?.forget();
    this._inbox?.close();
    this._hub?.removeEventListener("status", this.#onStatus);
    this._hub?.removeEventListener("user", this.#onUser);
    this._hub?.leave(this.#getToken);
    this._inbox = this._hub = undefined;
  }

  readonly #onStatus = (): void => this.requestUpdate();

  /** Somebody else has signed in. */
  readonly #onUser = (): void => {
    this.#leave(true);
    void this.#join();
  };

  readonly #onChange = (): void => {
    this.requestUpdate();
    const { unread, unseen } = this._inbox ?? { unread: 0, unseen: 0 };
    if (this.#told === `${unread} ${unseen}`) return;
    this.#told = `${unread} ${unseen}`;
    this.dispatchEvent(new CustomEvent("hub-count", { detail: { unread, unseen }, bubbles: true, composed: true }));
  };

  /** Told once for all that came together. */
  readonly #onArrived = (event: Event): void => {
    this.#arrived.push((event as CustomEvent<Item>).detail);
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => {
      const [first] = this.#arrived;
      const news = this.#language.count("arrived", this.#arrived.length);
      this._news = this.#arrived.length === 1 && first ? `${news}: ${first.title}` : news;
      this.#arrived = [];
      this.#see();
    }, ANNOUNCE_AFTER_MS);
  };

  /** What is on screen has been seen. */
  readonly #see = (): void => {
    if (this._open && this._inbox?.unseen && document.visibilityState === "visible") this._inbox.mark("markAllSeen");
  };

  // ------------------------------------------------------------ the panel

  get #panel(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>("#panel");
  }

  #onBeforeToggle(event: ToggleEvent): void {
    if (event.newState === "open") this.#place();
    else this.#returning = !!this.#panel?.matches(":focus-within");
  }

  #onToggle(event: ToggleEvent): void {
    this._open = event.newState === "open";
    const act = this._open ? addEventListener : removeEventListener;
    act("resize", this.#place);
    act("visibilitychange", this.#see);
    act("scroll", this.#place, { passive: true, capture: true });
    if (!this._open) {
      if (this.#returning) this.renderRoot.querySelector<HTMLElement>(".bell")?.focus({ preventScroll: true });
      return;
    }
    this.#see();
    this.renderRoot.querySelector<InboxPanel>("hub-inbox-panel")?.focus();
  }

  /** Under the bell, or above it where there is more room; its end at the bell's end, as far as the page goes. */
  readonly #place = (): void => {
    const panel = this.#panel;
    const bell = this.renderRoot.querySelector(".bell")?.getBoundingClientRect();
    if (!panel || !bell) return;
    const { clientWidth: pageWidth, clientHeight: pageHeight } = document.documentElement;
    const style = getComputedStyle(panel);
    const width = Math.min(parseFloat(style.width) || 420, pageWidth - 2 * EDGE_PX);
    const wanted = this.#language.dir === "rtl" ? bell.left : bell.right - width;
    const below = pageHeight - bell.bottom >= bell.top;
    panel.style.left = `${Math.max(EDGE_PX, Math.min(wanted, pageWidth - width - EDGE_PX))}px`;
    panel.style.top = below ? `${bell.bottom + EDGE_PX}px` : "auto";
    panel.style.bottom = below ? "auto" : `${pageHeight - bell.top + EDGE_PX}px`;
    panel.style.maxHeight = `${(below ? pageHeight - bell.bottom : bell.top) - 2 * EDGE_PX}px`;
  };

  #onFocusOut(event: FocusEvent): void {
    const to = event.relatedTarget as Node | null;
    if (to && to !== this && !this.contains(to) && !this.renderRoot.contains(to)) this.close();
  }
}

define("hub-inbox", HubInbox);

declare global {
  interface HTMLElementTagNameMap {
    "hub-inbox": HubInbox;
  }
}
