import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { HubError, Status } from "../client/connection";
import type { Inbox, Item, Verb, View } from "../client/inbox";
import type { I18n, TextKey } from "../i18n";
import type { Messages } from "../locales/inbox";
import { define } from "../page";
import { InboxItem, type MarkDetail } from "./hub-inbox-item";
import { icons } from "./icons";
import { panelStyles, theme } from "./styles";

const TABS: View[] = ["ACTIVE", "UNREAD", "ARCHIVED", "SNOOZED"];
const TICK_MS = 20_000;
const TOAST_MS = 10_000;
const SKELETONS = [1, 2, 3, 4, 5];
const PRELOAD_MARGIN = "600px"; // the distance to the end of the list at which the next page is loaded

/** The label of a view, and the title, text, and icon of the empty view. */
const VIEWS = {
  ACTIVE: ["all", "emptyAll", "emptyAllMore", icons.read],
  UNREAD: ["unread", "emptyUnread", "emptyUnreadMore", icons.readAll],
  ARCHIVED: ["archived", "emptyArchived", "emptyArchivedMore", icons.archive],
  SNOOZED: ["snoozed", "emptySnoozed", "emptySnoozedMore", icons.snooze],
} as const;

interface Toast {
  text: string;
  undo?: () => void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The content of the panel: the tabs, the list, and a message about the last action. */
export class InboxPanel extends LitElement {
  static override styles = [theme, panelStyles];
  static override properties = {
    inbox: { attribute: false },
    i18n: { attribute: false },
    status: { attribute: false },
    open: { attribute: false },
    _view: { state: true },
    _toast: { state: true },
    _now: { state: true },
  };
  declare inbox: Inbox | undefined;
  declare i18n: I18n<Messages>;
  declare status: Status;
  declare open: boolean;
  declare _view: View;
  declare _toast: Toast | undefined;
  declare _now: number;

  #clock: ReturnType<typeof setInterval> | undefined;
  readonly #endObserver = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && this.#loadMore(),
    { rootMargin: PRELOAD_MARGIN, scrollMargin: PRELOAD_MARGIN },
  );
  readonly #onChange = () => this.requestUpdate();
  readonly #tick = () => (this._now = this.inbox?.now ?? Date.now());
  readonly #onRefused = (event: Event) => {
    const { verb, error } = (event as CustomEvent<{ verb: Verb; error: HubError }>).detail;
    if (verb === "markAllSeen") return; // the user did not request this change
    this.#showToast(this.i18n.t("refused", { why: error.message }));
  };

  constructor() {
    super();
    this._view = "ACTIVE";
    this._now = Date.now();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#clock);
    this.#endObserver.disconnect();
  }

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("inbox")) {
      const before = changed.get("inbox") as Inbox | undefined;
      before?.removeEventListener("change", this.#onChange);
      before?.removeEventListener("refused", this.#onRefused);
      before?.removeEventListener("clock", this.#tick);
      this.inbox?.addEventListener("change", this.#onChange);
      this.inbox?.addEventListener("refused", this.#onRefused);
      this.inbox?.addEventListener("clock", this.#tick);
      this.inbox?.show(this._view);
    }
    if (changed.has("inbox") || changed.has("status")) this.#tick(); // a new connection provides the hub's clock
    if (changed.has("open")) {
      clearInterval(this.#clock);
      this.#tick();
      if (this.open) this.#clock = setInterval(this.#tick, TICK_MS);
    }
  }

  protected override render(): TemplateResult {
    const { i18n } = this;
    return html`<div class="head">
        <h2 id="title">${i18n.t("notifications")}</h2>
        ${this.#connectionStatus()}
        <slot name="header"></slot>
        ${this.inbox?.unread
          ? html`<button class="icon" data-tool="markAllRead" title=${i18n.t("markAllRead")} aria-label=${i18n.t("markAllRead")} @click=${this.#readAll}>${icons.readAll}</button>`
          : nothing}
        <button class="icon" data-tool="close" title=${i18n.t("close")} aria-label=${i18n.t("close")} @click=${this.#close}>${icons.close}</button>
      </div>
      <div role="tablist" aria-labelledby="title" @keydown=${this.#onTabKey}>${TABS.map((view) => this.#tab(view))}</div>
      <div class="scroll" role="tabpanel" id="list" aria-labelledby=${this._view} tabindex="-1" @keydown=${this.#onListKey}>
        ${this.#content()}
      </div>
      <div role="status">${this.#toast()}</div>`;
  }

  #tab(view: View): TemplateResult {
    const selected = view === this._view;
    const unread = view === "UNREAD" ? (this.inbox?.unread ?? 0) : 0;
    return html`<button
      role="tab"
      id=${view}
      aria-selected=${selected}
      aria-controls="list"
      tabindex=${selected ? 0 : -1}
      @click=${() => this.#show(view)}
    >${this.i18n.t(VIEWS[view][0])}${unread
        ? html`<span class="count">${this.i18n.number(unread)}</span>`
        : nothing}</button>`;
  }

  #connectionStatus(): TemplateResult | typeof nothing {
    if (this.status === "refused" || this.inbox?.list(this._view).state === "failed") return nothing; // shown in the list
    const key = this.status === "offline" && navigator.onLine ? "connecting" : this.status;
    const label = this.i18n.t(key);
    return html`<span class="status ${this.status}" title=${label}>
      <span class=${key === "live" ? "hidden" : ""}>${label}</span>
    </span>`;
  }

  #content(): TemplateResult | TemplateResult[] {
    const items = this.inbox?.items(this._view) ?? [];
    const { state, more } = this.inbox?.list(this._view) ?? { state: "loading", more: true };
    if (!items.length) {
      if (this.status === "refused") return this.#emptyState(icons.alert, "signedOut", "signedOutMore");
      if (state === "failed") return this.#failed();
      if (state !== "ready" || more) return this.#skeletons();
      const [, title, text, icon] = VIEWS[this._view];
      return this.#emptyState(icon, title, text);
    }
    return html`<ul role="list" @mark=${this.#onMark}>
        ${repeat(
          items,
          (item) => item.id,
          (item) => html`<li><hub-inbox-item data-id=${item.id} .item=${item} .i18n=${this.i18n} .now=${this._now}></hub-inbox-item></li>`,
        )}
      </ul>
      ${state === "failed"
        ? html`<div class="more"><button class="pill" @click=${this.#loadMore}>${this.i18n.t("tryAgain")}</button></div>`
        : more
          ? html`<div class="more" data-more>${this.i18n.t("loading")}</div>`
          : nothing}`;
  }

  #emptyState(icon: unknown, title: TextKey<Messages>, text: TextKey<Messages>): TemplateResult {
    return html`<div class="state">
      ${icon}<strong>${this.i18n.t(title)}</strong><span>${this.i18n.t(text)}</span>
    </div>`;
  }

  #skeletons(): TemplateResult {
    return html`<div aria-busy="true">
      <span class="hidden">${this.i18n.t("loading")}</span>
      ${SKELETONS.map(() => html`<div class="skeleton"><i></i><i></i><i></i></div>`)}
    </div>`;
  }

  #failed(): TemplateResult {
    return html`<div class="state">
      ${icons.alert}<strong>${this.i18n.t("failed")}</strong>
      <button class="pill" @click=${this.#loadMore}>${this.i18n.t("tryAgain")}</button>
    </div>`;
  }

  #toast(): TemplateResult | typeof nothing {
    const toast = this._toast;
    if (!toast) return nothing;
    return html`<div class="toast" @focusin=${this.#holdToast} @pointerenter=${this.#holdToast}>
      <span>${toast.text}</span>
      ${toast.undo ? html`<button data-tool="undo" @click=${this.#undo}>${this.i18n.t("undo")}</button>` : nothing}
      <button class="icon" title=${this.i18n.t("dismiss")} aria-label=${this.i18n.t("dismiss")} @click=${this.#dismiss}>${icons.close}</button>
    </div>`;
  }

  protected override updated(): void {
    this.#endObserver.disconnect();
    const end = this.renderRoot.querySelector("[data-more]");
    if (end && this.open && this.inbox?.list(this._view).state === "ready") this.#endObserver.observe(end);
  }

  readonly #loadMore = (): void => void this.inbox?.more(this._view);

  #show(view: View): void {
    this._view = view;
    this.inbox?.show(view);
    this.renderRoot.querySelector(".scroll")?.scrollTo(0, 0);
  }

  #onTabKey(event: KeyboardEvent): void {
    const forward = this.i18n.dir === "rtl" ? -1 : 1;
    const at = TABS.indexOf(this._view);
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#show(TABS.at(to % TABS.length) ?? "ACTIVE");
    void this.updateComplete.then(() => this.focus());
  }

  #onListKey(event: KeyboardEvent): void {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return this.#undo();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const items = this.#itemElements();
    const at = items.findIndex((item) => item.matches(":focus-within"));
    const next = items[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  #itemElements(): InboxItem[] {
    return [...this.renderRoot.querySelectorAll<InboxItem>("hub-inbox-item")];
  }

  #onMark(event: CustomEvent<MarkDetail>): void {
    const { verb, item } = event.detail;
    const until = event.detail.until?.(this.#tick());
    const elements = this.#itemElements();
    const at = elements.findIndex((element) => element.item.id === item.id);
    const focused = elements[at]?.matches(":focus-within");
    this.#mark(verb, item, until);
    if (focused) void this.updateComplete.then(() => this.#restoreFocus(item, at));
  }

  /** Move the focus to the next item if the focused item has left the list. */
  #restoreFocus(item: Item, at: number): void {
    const elements = this.#itemElements();
    if (elements.some((element) => element.item.id === item.id)) return;
    const next = elements[Math.min(at, elements.length - 1)];
    if (next) next.focus();
    else this.focus();
  }

  #mark(verb: Verb, item: Item, until?: string): void {
    const { inbox, i18n } = this;
    if (!inbox) return;
    inbox.mark(verb, [item.id], until);
    if (verb === "archive") {
      const undo = () =>
        item.snoozedUntil ? inbox.mark("snooze", [item.id], item.snoozedUntil) : inbox.mark("unarchive", [item.id]);
      this.#showToast(i18n.t("didArchive"), undo);
    }
    if (verb === "snooze" && until) {
      const undo = () => inbox.mark(item.archivedAt ? "archive" : "unsnooze", [item.id]);
      this.#showToast(i18n.t("didSnooze", { when: i18n.when(until, this._now) }), undo);
    }
  }

  readonly #readAll = (): void => {
    this.inbox?.mark("markAllRead");
    this.focus(); // the button disappears
  };

  #showToast(text: string, undo?: () => void): void {
    clearTimeout(this._toast?.timer);
    this._toast = { text, undo, timer: setTimeout(this.#dismiss, TOAST_MS) };
  }

  /** Do not hide the toast while the user interacts with it. */
  readonly #holdToast = (): void => clearTimeout(this._toast?.timer);

  readonly #dismiss = (): void => {
    const focused = this.renderRoot.querySelector(".toast")?.matches(":focus-within");
    clearTimeout(this._toast?.timer);
    this._toast = undefined;
    if (focused) this.focus();
  };

  readonly #undo = (): void => {
    const undo = this._toast?.undo;
    if (!undo) return;
    this.#dismiss();
    undo();
  };

  readonly #close = (): void => {
    this.dispatchEvent(new Event("close"));
  };
}

define("hub-inbox-item", InboxItem);
define("hub-inbox-panel", InboxPanel);
