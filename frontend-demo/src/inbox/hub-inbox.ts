import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import type { HubConnection } from "../client/connection";
import { Inbox, type Item } from "../client/inbox";
import { ConnectedElement } from "../connected-element";
import { I18n } from "../i18n";
import { catalogs, type Messages } from "../locales/inbox";
import { define, pageLocale } from "../page";
import { InboxPanel } from "./hub-inbox-panel";
import { icons } from "./icons";
import { bellStyles, theme } from "./styles";

const BADGE_MAX = 99;
const ANNOUNCE_DELAY_MS = 700;
const EDGE_PX = 8;

/**
 * A bell with the unread count, which opens the inbox: `<hub-inbox token="...">`.
 *
 * Attributes: `endpoint`, `token`, `locale`, `theme` (`light`, `dark`, `auto`; default: the page's color scheme).
 * Properties: `getToken`, and `words`, which replace texts of the language. Slot: `header`. Events: `hub-count` with
 * `{unread, unseen}`, `hub-open` with `{notification, url}`, and `hub-action` with `{notification, action, url}`. If
 * the page cancels one of the last two, the browser does not follow the link. `url` is a path if it is on the page's
 * origin.
 */
export class HubInbox extends ConnectedElement<Messages> {
  static override styles = [theme, bellStyles];
  static override properties: PropertyDeclarations = {
    theme: { reflect: true },
    words: { attribute: false },
    _inbox: { state: true },
    _open: { state: true },
    _announcement: { state: true },
  };
  declare theme: "light" | "dark" | "auto" | null;
  declare words: Partial<Messages> | null | undefined;
  declare _inbox: Inbox | undefined;
  declare _open: boolean;
  declare _announcement: string;

  /** The inbox hides its content itself, and keeps marks that have not been sent. */
  protected override readonly keepsRefusedConnection = true;
  #lastCounts = "";
  #returnsFocus = false; // to the bell, unless the focus has moved elsewhere
  #arrived: Item[] = [];
  #announceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this._open = false;
    this._announcement = "";
  }

  /** Open the panel. */
  open(): void {
    this.#panel?.showPopover();
  }

  close(): void {
    this.#panel?.hidePopover();
  }

  /** Request a new token now, before the current token expires. */
  override refresh(): void {
    if (this._inbox?.forbidden) void this.rejoin();
    else super.refresh();
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    if (changed.has("words")) this.i18n = this.createI18n();
  }

  protected override render(): TemplateResult {
    const { i18n } = this;
    const unread = this._inbox?.unread ?? 0;
    const unseen = this._inbox?.unseen ?? 0;
    const badge = unread > BADGE_MAX ? `${i18n.number(BADGE_MAX)}+` : i18n.number(unread);
    const label = i18n.t("notifications") + (unread ? `, ${i18n.plural("countUnread", unread)}` : "");
    return html`<button class="bell" part="bell" popovertarget="panel" aria-haspopup="dialog" aria-label=${label} lang=${i18n.locale} dir=${i18n.dir}>
        ${icons.bell}${unread
          ? html`<span class="badge ${unseen ? "" : "seen"}" part="badge" aria-hidden="true">${badge}</span>`
          : nothing}
      </button>
      <div
        class="panel"
        id="panel"
        part="panel"
        popover
        role="dialog"
        aria-label=${i18n.t("notifications")}
        lang=${i18n.locale}
        dir=${i18n.dir}
        @beforetoggle=${this.#onBeforeToggle}
        @toggle=${this.#onToggle}
        @focusout=${this.#onFocusOut}
      >
        <hub-inbox-panel
          theme=${this.theme || nothing}
          .inbox=${this._inbox}
          .i18n=${i18n}
          .status=${this._inbox?.forbidden ? "refused" : this.status}
          .open=${this._open}
          @close=${this.close}
        ><slot name="header" slot="header"></slot></hub-inbox-panel>
      </div>
      <div class="hidden" role="status">${this._announcement}</div>`;
  }

  protected override createI18n(): I18n<Messages> {
    return new I18n(catalogs, this.locale || pageLocale(), { overrides: this.words ?? {} });
  }

  // ------------------------------------------------------------ the inbox

  protected override onConnect(hub: HubConnection): void {
    this._inbox = new Inbox(hub);
    this._inbox.addEventListener("change", this.#onChange);
    this._inbox.addEventListener("arrived", this.#onArrived);
  }

  protected override onDisconnect(forget: boolean): void {
    if (forget) this._inbox?.forget();
    this._inbox?.close();
    this._inbox = undefined;
  }

  readonly #onChange = (): void => {
    this.requestUpdate();
    const { unread, unseen } = this._inbox ?? { unread: 0, unseen: 0 };
    if (this.#lastCounts === `${unread} ${unseen}`) return;
    this.#lastCounts = `${unread} ${unseen}`;
    this.dispatchEvent(new CustomEvent("hub-count", { detail: { unread, unseen }, bubbles: true, composed: true }));
  };

  /** Announce new notifications to screen readers, with one message for all that arrive within a short time. */
  readonly #onArrived = (event: Event): void => {
    this.#arrived.push((event as CustomEvent<Item>).detail);
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => {
      const [first] = this.#arrived;
      const text = this.i18n.plural("arrived", this.#arrived.length);
      this._announcement = this.#arrived.length === 1 && first ? `${text}: ${first.title}` : text;
      this.#arrived = [];
      this.#markSeen();
    }, ANNOUNCE_DELAY_MS);
  };

  /** Mark all notifications as seen if the panel is open on a visible page. */
  readonly #markSeen = (): void => {
    if (this._open && this._inbox?.unseen && document.visibilityState === "visible") this._inbox.mark("markAllSeen");
  };

  // ------------------------------------------------------------ the panel

  get #panel(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>("#panel");
  }

  #onBeforeToggle(event: ToggleEvent): void {
    if (event.newState === "open") this.#position();
    else this.#returnsFocus = !!this.#panel?.matches(":focus-within");
  }

  #onToggle(event: ToggleEvent): void {
    this._open = event.newState === "open";
    const toggleListener = this._open ? addEventListener : removeEventListener;
    toggleListener("resize", this.#position);
    toggleListener("visibilitychange", this.#markSeen);
    toggleListener("scroll", this.#position, { passive: true, capture: true });
    if (!this._open) {
      if (this.#returnsFocus) this.renderRoot.querySelector<HTMLElement>(".bell")?.focus({ preventScroll: true });
      return;
    }
    this.#markSeen();
    this.renderRoot.querySelector<InboxPanel>("hub-inbox-panel")?.focus();
  }

  /** Place the panel below the bell, or above it if there is more space, aligned with the end of the bell. */
  readonly #position = (): void => {
    const panel = this.#panel;
    const bell = this.renderRoot.querySelector(".bell")?.getBoundingClientRect();
    if (!panel || !bell) return;
    const { clientWidth: pageWidth, clientHeight: pageHeight } = document.documentElement;
    const style = getComputedStyle(panel);
    const width = Math.min(parseFloat(style.width) || 420, pageWidth - 2 * EDGE_PX);
    const left = this.i18n.dir === "rtl" ? bell.left : bell.right - width;
    const below = pageHeight - bell.bottom >= bell.top;
    panel.style.left = `${Math.max(EDGE_PX, Math.min(left, pageWidth - width - EDGE_PX))}px`;
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
