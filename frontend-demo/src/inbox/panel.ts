import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { HubError, Status } from "../hub/connection";
import type { Inbox, Item, Verb, View } from "../hub/inbox";
import { define } from "../page";
import type { Language, Plain } from "../words/language";
import { icons } from "./icons";
import { InboxItem, type Wish } from "./item";
import { panelStyles, theme } from "./styles";

const TABS: View[] = ["ACTIVE", "UNREAD", "ARCHIVED", "SNOOZED"];
const TICK_MS = 20_000;
const TOAST_MS = 10_000;
const BONES = [1, 2, 3, 4, 5];
const AHEAD = "600px"; // the next page is loaded this far before its place is seen

const words = {
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

/** What the bell opens: tabs, the list, and a word on what was just done. */
export class InboxPanel extends LitElement {
  static override styles = [theme, panelStyles];
  static override properties = {
    inbox: { attribute: false },
    language: { attribute: false },
    status: { attribute: false },
    open: { attribute: false },
    _view: { state: true },
    _toast: { state: true },
    _now: { state: true },
  };
  declare inbox: Inbox | undefined;
  declare language: Language;
  declare status: Status;
  declare open: boolean;
  declare _view: View;
  declare _toast: Toast | undefined;
  declare _now: number;

  #ticking: ReturnType<typeof setInterval> | undefined;
  readonly #seer = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && this.#loadMore(),
    { rootMargin: AHEAD, scrollMargin: AHEAD },
  );
  readonly #onChange = () => this.requestUpdate();
  readonly #tick = () => (this._now = this.inbox?.now ?? Date.now());
  readonly #onRefused = (event: Event) => {
    const { verb, error } = (event as CustomEvent<{ verb: Verb; error: HubError }>).detail;
    if (verb === "markAllSeen") return; // nobody asked for it
    this.#say(this.language.say("refused", { why: error.message }));
  };

  constructor() {
    super();
    this._view = "ACTIVE";
    this._now = Date.now();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#ticking);
    this.#seer.disconnect();
  }

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("inbox")) {
      const before = changed.get("inbox") as Inbox | undefined;
      before?.removeEventListener("change", this.#onChange);
      before?.removeEventListener("refused", this.#onRefused);
      this.inbox?.addEventListener("change", this.#onChange);
      this.inbox?.addEventListener("refused", this.#onRefused);
      this.inbox?.show(this._view);
    }
    if (changed.has("inbox") || changed.has("status")) this.#tick(); // a connection brings the hub's clock
    if (changed.has("open")) {
      clearInterval(this.#ticking);
      this.#tick();
      if (this.open) this.#ticking = setInterval(this.#tick, TICK_MS);
    }
  }

  protected override render(): TemplateResult {
    const { language } = this;
    return html`<div class="head">
        <h2 id="title">${language.say("notifications")}</h2>
        ${this.#sign()}
        <slot name="header"></slot>
        ${this.inbox?.unread
          ? html`<button class="icon" data-tool="markAllRead" title=${language.say("markAllRead")} aria-label=${language.say("markAllRead")} @click=${this.#readAll}>${icons.readAll}</button>`
          : nothing}
        <button class="icon" data-tool="close" title=${language.say("close")} aria-label=${language.say("close")} @click=${this.#close}>${icons.close}</button>
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
    >${this.language.say(words[view][0])}${unread
        ? html`<span class="count">${this.language.number(unread)}</span>`
        : nothing}</button>`;
  }

  #sign(): TemplateResult | typeof nothing {
    if (this.status === "refused" || this.inbox?.list(this._view).state === "failed") return nothing; // said below
    const word = this.status === "offline" && navigator.onLine ? "connecting" : this.status;
    const said = this.language.say(word);
    return html`<span class="sign ${this.status}" title=${said}>
      <span class=${word === "live" ? "hidden" : ""}>${said}</span>
    </span>`;
  }

  #content(): TemplateResult | TemplateResult[] {
    const items = this.inbox?.items(this._view) ?? [];
    const { state, more } = this.inbox?.list(this._view) ?? { state: "loading", more: true };
    if (!items.length) {
      if (this.status === "refused") return this.#state(icons.alert, "signedOut", "signedOutMore");
      if (state === "failed") return this.#failed();
      if (state !== "ready" || more) return this.#bones();
      const [, nothingHere, why, icon] = words[this._view];
      return this.#state(icon, nothingHere, why);
    }
    return html`<ul role="list" @wish=${this.#onWish}>
        ${repeat(
          items,
          (item) => item.id,
          (item) => html`<li><hub-inbox-item data-id=${item.id} .item=${item} .language=${this.language} .now=${this._now}></hub-inbox-item></li>`,
        )}
      </ul>
      ${state === "failed"
        ? html`<div class="more"><button class="pill" @click=${this.#loadMore}>${this.language.say("tryAgain")}</button></div>`
        : more
          ? html`<div class="more" data-more>${this.language.say("loading")}</div>`
          : nothing}`;
  }

  #state(icon: unknown, what: Plain, why: Plain): TemplateResult {
    return html`<div class="state">
      ${icon}<strong>${this.language.say(what)}</strong><span>${this.language.say(why)}</span>
    </div>`;
  }

  #bones(): TemplateResult {
    return html`<div aria-busy="true">
      <span class="hidden">${this.language.say("loading")}</span>
      ${BONES.map(() => html`<div class="bone"><i></i><i></i><i></i></div>`)}
    </div>`;
  }

  #failed(): TemplateResult {
    return html`<div class="state">
      ${icons.alert}<strong>${this.language.say("failed")}</strong>
      <button class="pill" @click=${this.#loadMore}>${this.language.say("tryAgain")}</button>
    </div>`;
  }

  #toast(): TemplateResult | typeof nothing {
    const toast = this._toast;
    if (!toast) return nothing;
    return html`<div class="toast" @focusin=${this.#holdToast} @pointerenter=${this.#holdToast}>
      <span>${toast.text}</span>
      ${toast.undo ? html`<button data-tool="undo" @click=${this.#undo}>${this.language.say("undo")}</button>` : nothing}
      <button class="icon" title=${this.language.say("dismiss")} aria-label=${this.language.say("dismiss")} @click=${this.#dismiss}>${icons.close}</button>
    </div>`;
  }

  protected override updated(): void {
    this.#seer.disconnect();
    const end = this.renderRoot.querySelector("[data-more]");
    if (end && this.open && this.inbox?.list(this._view).state === "ready") this.#seer.observe(end);
  }

  readonly #loadMore = (): void => void this.inbox?.more(this._view);

  #show(view: View): void {
    this._view = view;
    this.inbox?.show(view);
    this.renderRoot.querySelector(".scroll")?.scrollTo(0, 0);
  }

  #onTabKey(event: KeyboardEvent): void {
    const along = this.language.dir === "rtl" ? -1 : 1;
    const at = TABS.indexOf(this._view);
    const to = { ArrowRight: at + along, ArrowLeft: at - along, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#show(TABS.at(to % TABS.length) ?? "ACTIVE");
    void this.updateComplete.then(() => this.focus());
  }

  #onListKey(event: KeyboardEvent): void {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return this.#undo();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const items = this.#elements();
    const at = items.findIndex((item) => item.matches(":focus-within"));
    const next = items[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  #elements(): InboxItem[] {
    return [...this.renderRoot.querySelectorAll<InboxItem>("hub-inbox-item")];
  }

  #onWish(event: CustomEvent<Wish>): void {
    const { verb, item } = event.detail;
    const until = event.detail.until?.(this.#tick());
    const elements = this.#elements();
    const at = elements.findIndex((element) => element.item.id === item.id);
    const focused = elements[at]?.matches(":focus-within");
    this.#mark(verb, item, until);
    if (focused) void this.updateComplete.then(() => this.#keepFocus(item, at));
  }

  /** What was under the keyboard may have left the list: its neighbour takes over. */
  #keepFocus(item: Item, at: number): void {
    const elements = this.#elements();
    if (elements.some((element) => element.item.id === item.id)) return;
    const neighbour = elements[Math.min(at, elements.length - 1)];
    if (neighbour) neighbour.focus();
    else this.focus();
  }

  #mark(verb: Verb, item: Item, until?: string): void {
    const { inbox, language } = this;
    if (!inbox) return;
    inbox.mark(verb, [item.id], until);
    if (verb === "archive") {
      const back = () =>
        item.snoozedUntil ? inbox.mark("snooze", [item.id], item.snoozedUntil) : inbox.mark("unarchive", [item.id]);
      this.#say(language.say("didArchive"), back);
    }
    if (verb === "snooze" && until) {
      const back = () => inbox.mark(item.archivedAt ? "archive" : "unsnooze", [item.id]);
      this.#say(language.say("didSnooze", { when: language.when(until, this._now) }), back);
    }
  }

  readonly #readAll = (): void => {
    this.inbox?.mark("markAllRead");
    this.focus(); // the button goes
  };

  #say(text: string, undo?: () => void): void {
    clearTimeout(this._toast?.timer);
    this._toast = { text, undo, timer: setTimeout(this.#dismiss, TOAST_MS) };
  }

  /** Nobody is hurried who is just about to press it. */
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
