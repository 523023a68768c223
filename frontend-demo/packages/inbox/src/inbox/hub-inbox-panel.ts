import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import type { Item, Verb } from "../../../client/src/inbox";
import { viewOf, type ListQuery } from "../../../client/src/list-query";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { InboxTab, RenderItem } from "../elements";
import { define } from "../page";
import { bulkActions } from "./bulk-actions";
import { InboxItem, type MarkDetail } from "./hub-inbox-item";
import type { MenuEntry } from "./hub-inbox-menu";
import "./hub-inbox-menu";
import type { Tools } from "./hub-inbox-tools";
import { icons } from "./inbox-icons";
import { InboxView } from "./inbox-view";
import { connectionStatus, emptyState, endOfList, failedState, skeletons } from "./list-states";
import { ListWindow } from "./list-window";
import { OwnContent, slotName } from "./own-content";
import { itemsOfDays, pinnedFirst, rowHeading, toRow, type Row } from "./rows";
import { shortcutKey, toolSelector } from "./shortcuts";
import type { Until } from "./snooze";
import { panelStyles } from "./styles";
import { theme } from "./theme";
import { Tabs, VIEWS } from "./tabs";

const PRELOAD_MARGIN = "600px"; // the distance to the end of the list at which the next page is loaded

/**
 * The content of the panel: the tabs, the list, and a message about the last action. It is rendered while the panel is
 * open. While the user is in the list, new items wait behind a button, because they would move the rows. Dispatches
 * `shown` when they no longer wait.
 */
export class InboxPanel extends InboxView {
  static override styles = [theme, panelStyles];
  static override properties: PropertyDeclarations = {
    closable: { attribute: false },
    tabs: { attribute: false },
    groupThreads: { attribute: false },
    renderItem: { attribute: false },
    icons: { attribute: false },
    _current: { state: true },
    _showsShortcuts: { state: true },
  };
  declare closable: boolean;
  declare tabs: readonly InboxTab[] | null | undefined;
  declare groupThreads: boolean;
  declare renderItem: RenderItem | null | undefined;
  declare icons: Record<string, string> | null | undefined;
  /** The id of the item that the Tab key reaches. */
  declare _current: string | undefined;
  declare _showsShortcuts: boolean;

  readonly #list = new ListWindow<Row>(this);
  readonly #ownContent = new OwnContent();
  readonly #tabs = new Tabs();
  /** Undefined until they are loaded, and null if they cannot be loaded. */
  #tools: Tools | null | undefined;
  #shown: readonly Row[] = [];
  #waited = 0;
  #isPointerInside = false;
  /** The items that a tab with unread items listed. It keeps those that were read until another tab is shown. */
  readonly #kept = new Set<string>();
  readonly #endObserver = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && this.#loadMore(),
    { rootMargin: PRELOAD_MARGIN, scrollMargin: PRELOAD_MARGIN },
  );

  constructor() {
    super();
    this.addEventListener("keydown", this.#onKey);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#endObserver.disconnect();
  }

  /** The number of new items that wait. */
  get waiting(): number {
    return this.newItems.waiting;
  }

  /** Move the focus to a control of an item, or to the tabs if the item is not listed. */
  async focusItem(id: string, selector: string): Promise<void> {
    this._current = id;
    await this.updateComplete;
    const item = this.#itemElements().find((element) => element.item.id === id);
    await item?.updateComplete;
    const control = item?.control(selector) ?? item ?? this;
    control.focus();
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    const [opens, tabs, inbox] = ["open", "tabs", "inbox"].map((name) => changed.has(name));
    if (tabs || !this.hasUpdated) this.#tabs.set(this.tabs);
    if ((opens || changed.has("groupThreads")) && (this.open || this.groupThreads)) void this.#loadTools();
    if (inbox || (opens && !this.open)) this.#tools?.search.close();
    if (tabs || inbox) this.inbox?.show(this.#query);
    if (opens && !this.open) {
      this.#isPointerInside = this._showsShortcuts = false;
      this.#kept.clear();
      this.#tools?.selection.clear();
    }
    if (opens && this.newItems.includes(this.#items)) this.#list.top = 0; // the user sees them first
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.open) return nothing;
    const { i18n } = this;
    const { selection, search } = this.#tools ?? {};
    const list = this.inbox?.list(this.#query);
    const content = this.#content(); // the bar shows which of the rows are selected
    return html`<div class="head" part="header" ?inert=${!!selection?.isActive}>
        <h2 id="title" part="heading">${i18n.t("notifications")}</h2>
        ${list?.state === "failed" ? nothing : connectionStatus(i18n, this.status)}
        <slot name="header"></slot>
        <button class="icon" part="search-button" data-tool="search" title=${i18n.t("search")} aria-label=${i18n.t("search")} aria-expanded=${!!search?.isOpen} @click=${this.#toggleSearch}>${icons.search}</button>
        <hub-inbox-menu .label=${i18n.t("more")} .entries=${this.#menu}></hub-inbox-menu>
        ${this.closable
          ? html`<button class="icon" part="close" data-tool="close" title=${i18n.t("close")} aria-label=${i18n.t("close")} @click=${this.#close}>${icons.close}</button>`
          : nothing}
      </div>
      ${selection?.render(this.#shown, this.#selected, viewOf(this.#query), i18n, this._now, this.#markSelected)}
      <div role="tablist" part="tabs" aria-labelledby="title" @keydown=${this.#onTabKey}>
        ${this.#tabs.render(this.inbox, i18n, this.#show)}
      </div>
      ${search?.render(i18n, this.#tabs.selected.filter)}
      <div
        class="scroll"
        part="scroll"
        role="tabpanel"
        id="list"
        aria-labelledby=${this.#tabs.selected.id}
        tabindex="-1"
        @keydown=${this.#onListKey}
        @scroll=${this.#onScroll}
        @pointerenter=${this.#onPointer}
        @pointerleave=${this.#onPointer}
        @focusout=${this.onChange}
      >
        ${content}
      </div>
      <div role="status">${this.toast.render(i18n)}</div>
      <div class="hidden" role="status">${selection?.isActive ? i18n.plural("selected", this.#selected.length) : search?.describe(i18n, this.#shown.length, list)}</div>
      ${this._showsShortcuts ? this.#tools?.shortcutSheet(i18n, () => (this._showsShortcuts = false)) : nothing}`;
  }

  /** The actions for all notifications of the tab that is shown, and the shortcuts. */
  readonly #menu = (): MenuEntry[] => {
    const { i18n } = this;
    const query = this.#query;
    return [
      ...bulkActions(this.inbox, query).map(([verb, label]) => ({ key: verb, label: i18n.t(label), run: () => (this.#kept.clear(), this.markAll(verb, query)) })),
      ...(this.#shown.length ? [{ key: "select", label: i18n.t("selectMany"), run: this.#startSelection }] : []),
      { key: "shortcuts", label: i18n.t("shortcuts"), run: this.#showShortcuts },
    ];
  };

  #content(): TemplateResult | TemplateResult[] {
    const { i18n } = this;
    const items = this.newItems.shown(this.#items, this.#isUserInList);
    const rows = this.#toRows(items);
    this.#shown = rows;
    if (this.open && viewOf(this.#query) === "UNREAD") for (const { id } of items) this.#kept.add(id);
    const { state, more } = this.inbox?.list(this.#query) ?? { state: "loading", more: true };
    if (!rows.length) {
      if (this.status === "refused") return emptyState(i18n, icons.alert, "signedOut", "signedOutMore");
      if (state === "failed") return failedState(i18n, this.#loadMore);
      if (state !== "ready" || more || items.length)
        return this.status === "offline" ? emptyState(i18n, icons.alert, "offlineList", "offlineListMore") : skeletons(i18n);
      if (this.#tools?.search.found) return emptyState(i18n, icons.search, "noMatches", "noMatchesMore");
      const [, title, text, icon] = VIEWS[viewOf(this.#query)];
      return emptyState(i18n, icon, title, text);
    }
    const current = rows.find(({ id }) => id === this._current) ?? rows[0];
    const heads = itemsOfDays(rows);
    this.#list.current = current?.id;
    return html`${this.waiting
        ? html`<div class="newer">
            <button class="pill primary" part="newer" data-tool="newer" @click=${this.#showNewer}>${i18n.plural("arrived", this.waiting)}</button>
          </div>`
        : nothing}
      <p class="hidden" id="hint">${i18n.t("listHint")}</p>
      <ul role="list" aria-describedby="hint" @mark=${this.#onMark} @focusin=${this.#onItemFocus}>
        ${this.#list.render(rows, !more, (row) => this.#row(row, row === current, heads))}
      </ul>
      ${endOfList(i18n, state, more, this.#loadMore)}`;
  }

  /** Return one row per item, or one per thread with `groupThreads`. */
  #toRows(items: readonly Item[]): Row[] {
    const tools = this.groupThreads ? this.#tools : null;
    if (tools === undefined) return [];
    const toRows = (others: readonly Item[]): Row[] => tools?.threads.toRows(others) ?? others.map(toRow);
    return this.#hasPinned ? pinnedFirst(items, toRows) : toRows(items);
  }

  /** `heads` are the items that the heading of a day can precede. */
  #row(row: Row, isCurrent: boolean, heads: readonly Item[]): TemplateResult {
    const { i18n, _now: now } = this;
    const { selection, threads } = this.#tools ?? {};
    const { item, isNested } = row;
    const heading = viewOf(this.#query) === "SNOOZED" ? nothing : rowHeading(row, row === this.#shown[0], heads, i18n, now);
    return html`${heading}${selection?.renderBox(this.#shown, item, i18n, isCurrent)}<hub-inbox-item class=${isNested ? "nested" : ""} ?compact=${!!selection?.isActive} .item=${item} .i18n=${i18n} .now=${now} .current=${isCurrent} .icon=${this.icons?.[item.category]} .hasUnread=${this.#itemsOf(row).some(isUnread)} .hasOwnContent=${!!this.renderItem}>${this.renderItem ? html`<slot name=${slotName(item)}></slot>` : nothing}</hub-inbox-item>${threads?.render(row, i18n, isCurrent)}`;
  }

  /** The list that is shown. */
  get #query(): ListQuery {
    return this.#tools?.search.found ?? this.#tabs.selected.query;
  }

  /** True if the list shows the pinned items above the others. */
  get #hasPinned(): boolean {
    return !this.#tools?.search.found && ["ACTIVE", "UNREAD"].includes(viewOf(this.#query));
  }

  get #items(): readonly Item[] {
    return this.inbox?.items(this.#query, this.#kept, this.#hasPinned) ?? [];
  }

  get #isUserInList(): boolean {
    return !!this.#tools?.selection.isActive || this.#isPointerInside || this.#list.top > 0 || !!this.scroller?.matches(":focus-within");
  }

  protected override updated(changed: PropertyValues): void {
    const { host } = this.getRootNode() as ShadowRoot;
    this.#ownContent.update(host, this, this.#itemElements().map(({ item }) => item), this.renderItem);
    if (this.open && this.inbox) this.#tabs.load(this.inbox);
    if (changed.has("open")) this.scroller?.scrollTo(0, this.#list.top);
    if (this.#waited && !this.waiting) this.dispatchEvent(new Event("shown"));
    this.#waited = this.waiting;
    if (changed.has("_showsShortcuts")) this.renderRoot.querySelector("dialog")?.showModal();
    this.#endObserver.disconnect();
    const end = this.renderRoot.querySelector("[data-more]");
    if (end && this.open && this.inbox?.list(this.#query).state === "ready") this.#endObserver.observe(end);
  }

  async #loadTools(): Promise<void> {
    try {
      const { Tools } = await import("./hub-inbox-tools");
      this.#tools ??= new Tools(this, this.#showQuery);
    } catch (error) {
      console.error("hub: cannot load a part of the panel", error);
      this.#tools ??= null;
    }
    this.requestUpdate();
  }

  /** Call `run` with the tools when they are loaded. */
  async #withTools(run: (tools: Tools) => void): Promise<void> {
    if (!this.#tools) await this.#loadTools();
    if (this.#tools) run(this.#tools);
  }

  readonly #toggleSearch = () => this.#withTools(({ search }) => (search.isOpen ? search.close() : search.open(this.inbox)));

  readonly #loadMore = (): void => void this.inbox?.more(this.#query);

  readonly #show = (id: string): void => {
    this.#tabs.select(id);
    if (this.#tools) this.#tools.search.searchIn(this.#tabs.selected.filter);
    else this.#showQuery();
  };

  /** Show the list of the tab or search that was selected. */
  readonly #showQuery = (): void => {
    this.#kept.clear();
    this.#tools?.selection.clear();
    this.inbox?.show(this.#query);
    this.#scrollToTop();
  };

  #scrollToTop(): void {
    this.newItems.release();
    this.#list.top = 0;
    this.scroller?.scrollTo(0, 0);
    this.requestUpdate();
  }

  readonly #showNewer = (): void => {
    this.#scrollToTop();
    void this.updateComplete.then(() => this.#itemElements()[0]?.focus());
  };

  readonly #onScroll = (event: Event): void => {
    this.#list.measure(event.currentTarget as HTMLElement);
    this.onChange();
  };

  readonly #onPointer = ({ type }: PointerEvent): void => {
    this.#isPointerInside = type === "pointerenter";
    this.onChange();
  };

  #onTabKey(event: KeyboardEvent): void {
    const id = this.#tabs.idAfter(event.key, this.i18n.dir === "rtl" ? -1 : 1);
    if (id === undefined) return;
    event.preventDefault();
    this.#show(id);
    void this.updateComplete.then(() => this.focus());
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    const key = shortcutKey(event);
    const { selection } = this.#tools ?? {};
    if (event.key === "Escape" && selection?.isActive) {
      event.preventDefault(); // otherwise the panel closes
      selection.cancel();
      if (!selection.isActive) this.#restoreFocus(this._current);
    } else if (key === "/") {
      event.preventDefault();
      void this.#withTools(({ search }) => search.open(this.inbox));
    } else if (key === "z" || isUndo) {
      const id = this.toast.undo();
      if (id) void this.focusItem(id, ".open");
    } else if (key === "?") void this.#showShortcuts();
    else if ((key === "j" || key === "ArrowDown") && !event.defaultPrevented && !this.scroller?.matches(":focus-within")) {
      event.preventDefault();
      this.#restoreFocus(this.#list.current);
    }
  };

  #onListKey(event: KeyboardEvent): void {
    const key = shortcutKey(event) ?? "";
    const rows = this.#shown;
    const at = rows.findIndex(({ id }) => id === this._current);
    const current = rows[at];
    const selector = toolSelector(key);
    if (selector && this.#selected.length) return this.renderRoot.querySelector<HTMLElement>(`.bar :is(${selector})`)?.click();
    const focused = this.#itemElements().find((item) => item.matches(":focus-within"));
    if (selector) return focused?.control(selector)?.click();
    if (current && key.toLowerCase() === "x") // a selection hides the tools
      return focused?.focus(), void this.#withTools(({ selection }) => selection.select(rows, current.id, event.shiftKey));
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: rows.length - 1 }[key];
    const next = to === undefined ? undefined : rows[to];
    if (!next) return;
    event.preventDefault();
    if (event.shiftKey && current) void this.#withTools(({ selection }) => selection.extend(rows, current.id, next.id));
    void this.focusItem(next.id, ".open");
  }

  readonly #onItemFocus = (event: FocusEvent): void => {
    const row = event.composedPath().find((node) => node instanceof HTMLLIElement && node.dataset.id);
    this._current = (row as HTMLElement | undefined)?.dataset.id ?? this._current;
  };

  #itemElements(): InboxItem[] {
    return [...this.renderRoot.querySelectorAll<InboxItem>("hub-inbox-item")];
  }

  #onMark(event: CustomEvent<MarkDetail>): void {
    const { verb, item, action } = event.detail;
    const until = event.detail.until?.(this.tick());
    const elements = this.#itemElements();
    const at = elements.findIndex((element) => element.item.id === item.id);
    const focused = elements[at]?.matches(":focus-within");
    const isOwn = /^ac[kt]|pin$/.test(verb); // actions, acknowledgments, and pins do not apply to the whole thread
    this.mark(verb, isOwn ? [item] : this.#itemsOf(this.#shown.find(({ id }) => id === item.id)), until, action);
    if (focused) void this.updateComplete.then(() => this.#restoreFocus(item.id, at));
  }

  /** Move the focus to an item, or to the one in its place if it has left the list. */
  #restoreFocus(id: string | undefined, at = 0): void {
    const elements = this.#itemElements();
    const element = elements.find(({ item }) => item.id === id) ?? elements[Math.max(0, Math.min(at, elements.length - 1))] ?? this;
    if (!element.matches(":focus-within")) element.focus();
  }

  /** The items that a mark of a row applies to. */
  #itemsOf(row: Row | undefined): readonly Item[] {
    return row ? (this.#tools?.threads.itemsOf(row) ?? [row.item]) : [];
  }

  get #selected(): readonly Item[] {
    const { selection } = this.#tools ?? {};
    if (!selection?.isActive) return [];
    return this.#shown.filter(({ id }) => selection.has(id)).flatMap((row) => this.#itemsOf(row));
  }

  readonly #markSelected = (verb: Verb, until?: Until): void => {
    const at = this.#itemElements().findIndex(({ item }) => item.id === this._current);
    this.mark(verb, this.#selected, until?.(this.tick()));
    this.#tools?.selection.clear();
    void this.updateComplete.then(() => this.#restoreFocus(this._current, at));
  };

  readonly #startSelection = () =>
    this.#withTools(({ selection }) => {
      selection.start();
      this.#restoreFocus(this._current);
    });

  readonly #showShortcuts = () => this.#withTools(() => (this._showsShortcuts = true));

  readonly #close = (): void => void this.dispatchEvent(new Event("close"));
}

define("hub-inbox-item", InboxItem);
define("hub-inbox-panel", InboxPanel);
