import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { HubConnection } from "../../../client/src/connection";
import { Inbox, type Item } from "../../../client/src/inbox";
import { ConnectedElement } from "../connected-element";
import type { InboxTab, RenderItem } from "../elements";
import { I18n } from "../i18n";
import { catalogs, type Messages } from "../locales/inbox";
import { define, oncePerFrame, pageLocale } from "../page";
import type { InboxPanel } from "./hub-inbox-panel";
import type { InboxToasts } from "./hub-inbox-toasts";
import { bell } from "./inbox-icons";
import { bellStyles } from "./styles";
import { theme } from "./theme";
import { setAppBadge, setTitlePrefix } from "./unread-indicators";

const BADGE_MAX = 99;
const ANNOUNCE_DELAY_MS = 700;
const EDGE_PX = 8;
const loadPanel = () => import("./hub-inbox-panel"); // not needed to display the bell
const loadToasts = () => import("./hub-inbox-toasts");
const FULL_SCREEN = "(max-width: 520px)"; // the same width as in `bellStyles`

/**
 * A bell with the unread count, which opens the inbox: `<hub-inbox token="...">`.
 *
 * Attributes: `endpoint`, `token`, `locale`, `theme` (`light`, `dark`, `auto`; default: the page's color scheme),
 * `tabs` (JSON), `group-threads`, `keep-open`, `toasts`, `title-count`, and `app-badge`. Properties: `getToken`,
 * `words`, which replace texts of the language, `renderItem`, and `categoryIcons`. Slot: `header`. Events: `hub-count` with `{unread, unseen}`, `hub-arrived`
 * with `{notification}`, `hub-open` with `{notification, url}`, and `hub-action` with `{notification, action, url}`. If
 * the page cancels one of the last two, the browser does not follow the link, and the panel closes if the page followed
 * it instead. `url` is a path if it is on the page's origin.
 */
export class HubInbox extends ConnectedElement<Messages> {
  static override styles = [theme, bellStyles];
  static override properties: PropertyDeclarations = {
    theme: { reflect: true },
    keepOpen: { type: Boolean, attribute: "keep-open" },
    words: { attribute: false },
    tabs: { type: Array },
    groupThreads: { type: Boolean, attribute: "group-threads" },
    renderItem: { attribute: false },
    categoryIcons: { attribute: false },
    toasts: { type: Boolean },
    titleCount: { type: Boolean, attribute: "title-count" },
    appBadge: { type: Boolean, attribute: "app-badge" },
    _inbox: { state: true },
    _open: { state: true },
    _announcement: { state: true },
  };
  declare theme: "light" | "dark" | "auto" | null;
  /** Keep the panel open after the page has handled a link, unless the panel fills the screen. */
  declare keepOpen: boolean;
  declare words: Partial<Messages> | null | undefined;
  declare tabs: readonly InboxTab[] | null | undefined;
  /** Show the notifications of one thread as one row. */
  declare groupThreads: boolean;
  declare renderItem: RenderItem | null | undefined;
  declare categoryIcons: Record<string, string> | null | undefined;
  declare toasts: boolean;
  declare titleCount: boolean;
  declare appBadge: boolean;
  declare _inbox: Inbox | undefined;
  declare _open: boolean;
  declare _announcement: { text: string } | undefined;

  /** The inbox hides its content itself, and keeps marks that have not been sent. */
  protected override readonly keepsRefusedConnection = true;
  protected readonly closable: boolean = true;
  /** True if the user can see the panel while it is open. */
  protected isInView = true;
  #lastCounts = "";
  #isLoaded = false;
  #explained: string | undefined; // the id of the item for which the user asked "Why did I get this?"
  #returnsFocus = false; // to the bell, unless the focus has moved elsewhere
  #arrived: Item[] = [];
  #announceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this._open = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("hub-why-closed", this.#onWhyClosed);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("hub-why-closed", this.#onWhyClosed);
    if (this.closable) this.#followPanel(); // browsers hide the panel of an element that is removed without an event
  }

  /** Open the panel. */
  open(): void {
    if (this.hasUpdated) this.#panel?.showPopover();
    else void this.updateComplete.then(() => this.open());
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
    if (changed.has("words")) this.updateLanguage();
    if (this.status === "refused") this.#forgetArrivals();
    if (changed.has("toasts") && this.toasts) loadToasts().catch((error) => console.error("hub: cannot load the toasts", error));
    this.#showUnread();
  }

  protected override render(): TemplateResult {
    const { i18n } = this;
    const unread = this._inbox?.unread ?? 0;
    const unseen = this._inbox?.unseen ?? 0;
    const badge = this.#limited(unread);
    const count = i18n.plural("countUnread", unread).replace(i18n.number(unread), badge); // contains the visible text
    const label = i18n.t("notifications") + (unread ? `, ${count}` : "");
    return html`<button class="bell" part="bell" popovertarget="panel" aria-haspopup="dialog" aria-label=${label} lang=${i18n.locale} dir=${i18n.dir}>
        ${bell}${unread
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
        @hub-open=${this.#onLink}
        @hub-action=${this.#onLink}
        @hub-why=${this.#onWhy}
      >
        ${this.renderContent()}
      </div>
      ${this.toasts
        ? html`<hub-inbox-toasts theme=${this.theme || nothing} .inbox=${this._inbox} .i18n=${this.i18n} .open=${this._open} .icons=${this.categoryIcons}></hub-inbox-toasts>`
        : nothing}
      ${this.renderAnnouncement()}`;
  }

  /** Return the tabs and the list. */
  protected renderContent(): TemplateResult {
    return html`<hub-inbox-panel
      theme=${this.theme || nothing}
      .inbox=${this._inbox}
      .i18n=${this.i18n}
      .status=${this._inbox?.forbidden ? "refused" : this.status}
      .open=${this._open}
      .closable=${this.closable}
      .tabs=${this.tabs}
      .groupThreads=${this.groupThreads}
      .renderItem=${this.renderItem}
      .icons=${this.categoryIcons}
      @close=${this.close}
      @shown=${this.markSeen}
    ><slot name="header" slot="header"></slot></hub-inbox-panel>`;
  }

  /** Screen readers announce each new element, even if its text is the same as before. */
  protected renderAnnouncement(): TemplateResult {
    const announcements = this._announcement ? [this._announcement] : [];
    return html`<div class="hidden" role="status">
      ${repeat(announcements, (announcement) => announcement, ({ text }) => html`<p>${text}</p>`)}
    </div>`;
  }

  protected override createI18n(): I18n<Messages> {
    return new I18n(catalogs, this.locale || pageLocale(), { overrides: this.words ?? {} });
  }

  // ------------------------------------------------------------ the inbox

  protected override onConnect(hub: HubConnection): void {
    loadPanel().catch(() => {}); // tried again when the panel opens
    this._inbox = new Inbox(hub);
    this.#isLoaded = false;
    this._inbox.addEventListener("change", this.#onChange);
    this._inbox.addEventListener("arrived", this.#onArrived);
  }

  protected override onDisconnect(forget: boolean): void {
    if (forget) this._inbox?.forget();
    this._inbox?.close();
    this._inbox = undefined;
    this.#forgetArrivals();
    this.#showUnread();
  }

  /** Hidden pages do not render, but show the count in their title. */
  #showUnread(): void {
    const unread = this._inbox?.unread;
    setTitlePrefix(this, this.titleCount && unread ? `(${this.#limited(unread)}) ` : "");
    setAppBadge(this, this.appBadge ? unread : undefined);
  }

  #limited(count: number): string {
    return count > BADGE_MAX ? `${this.i18n.number(BADGE_MAX)}+` : this.i18n.number(count);
  }

  readonly #update = oncePerFrame(() => this.requestUpdate());

  readonly #onChange = (): void => {
    this.#update();
    if (!this.#isLoaded && this._inbox?.list("ACTIVE").state === "ready") {
      this.#isLoaded = true;
      this.markSeen();
    }
    const { unread, unseen } = this._inbox ?? { unread: 0, unseen: 0 };
    if (this.#lastCounts === `${unread} ${unseen}`) return;
    this.#lastCounts = `${unread} ${unseen}`;
    this.#showUnread();
    this.dispatchEvent(new CustomEvent("hub-count", { detail: { unread, unseen }, bubbles: true, composed: true }));
  };

  /** Announce new notifications to screen readers, with one message for all that arrive within a short time. */
  readonly #onArrived = (event: Event): void => {
    const notification = (event as CustomEvent<Item>).detail;
    const isShown = this.dispatchEvent(new CustomEvent("hub-arrived", { detail: { notification }, bubbles: true, composed: true, cancelable: true }));
    if (isShown) this.renderRoot.querySelector<InboxToasts>("hub-inbox-toasts")?.add?.(notification);
    this.#arrived.push(notification);
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => {
      const [first] = this.#arrived;
      const text = this.i18n.plural("arrived", this.#arrived.length);
      this._announcement = { text: this.#arrived.length === 1 && first ? `${text}: ${first.title}` : text };
      this.#arrived = [];
      this.markSeen();
    }, ANNOUNCE_DELAY_MS);
  };

  #forgetArrivals(): void {
    clearTimeout(this.#announceTimer);
    this.#arrived = [];
    this._announcement = undefined;
  }

  /** Mark all notifications as seen if the panel is open on a visible page and shows the new ones. */
  protected readonly markSeen = (): void => {
    const isShown = this._open && this.isInView && !this.#content?.waiting && document.visibilityState === "visible";
    if (isShown && this._inbox?.unseen) this._inbox.mark("markAllSeen");
  };

  // ------------------------------------------------------------ the panel

  get #panel(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>("#panel");
  }

  get #content(): InboxPanel | null {
    return this.renderRoot.querySelector<InboxPanel>("hub-inbox-panel");
  }

  #onBeforeToggle(event: ToggleEvent): void {
    if (event.newState === "open") {
      this._open = true; // the content is rendered before the panel is painted
      this.#position();
    } else this.#returnsFocus = !!this.#panel?.matches(":focus-within");
  }

  #followPanel(): void {
    this._open = !!this.#panel?.matches(":popover-open");
    const toggleListener = this._open ? addEventListener : removeEventListener;
    toggleListener("resize", this.#position);
    toggleListener("hashchange", this.#uncoverPage);
    toggleListener("visibilitychange", this.markSeen);
    toggleListener("scroll", this.#position, { passive: true, capture: true });
  }

  async #onToggle(): Promise<void> {
    this.#followPanel();
    if (!this._open) {
      if (this.#returnsFocus) this.renderRoot.querySelector<HTMLElement>(".bell")?.focus({ preventScroll: true });
      return;
    }
    this.markSeen();
    const explained = this.#explained;
    this.#explained = undefined;
    try {
      await loadPanel();
    } catch (error) {
      console.error("hub: cannot load the panel", error);
      return this.close();
    }
    await this.#content?.updateComplete;
    if (!this._open) return;
    if (explained) void this.#content?.focusItem(explained, "[data-tool=why]");
    else this.#content?.focus();
  }

  readonly #onWhy = (event: Event): void => {
    this.#explained = (event as CustomEvent<{ id: string }>).detail.id;
  };

  /** The dialog has closed the panel. Open it again where the user was. */
  readonly #onWhyClosed = (event: Event): void => {
    if (this.#explained !== (event as CustomEvent<{ id: string }>).detail.id) return;
    if (this._open) this.#explained = undefined;
    else this.open();
  };

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

  /** Close the panel if the page has followed a link itself. The page's listeners run before the microtask. */
  #onLink(event: CustomEvent<{ url?: string }>): void {
    const opensPage = event.type === "hub-open" || event.detail.url;
    queueMicrotask(() => {
      if (!event.defaultPrevented || !opensPage) return;
      if (this.keepOpen) this.#uncoverPage();
      else this.close();
    });
  }

  /** Close the panel if it fills the screen. */
  readonly #uncoverPage = (): void => {
    if (matchMedia(FULL_SCREEN).matches) this.close();
  };

  #onFocusOut(event: FocusEvent): void {
    const to = event.relatedTarget as Node | null;
    if (to && to !== this && !this.contains(to) && !this.renderRoot.contains(to)) this.close();
  }
}

define("hub-inbox", HubInbox);
