import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Inbox, Item } from "../../../client/src/inbox";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { define } from "../page";
import type { MarkDetail } from "./hub-inbox-item";
import { icons } from "./inbox-icons";
import { ExportingElement } from "./parts";
import { theme } from "./theme";

const SHOWN_MS = 8_000;
const TOASTS_MAX = 3;

const toastsStyles = css`
  [popover] {
    position: fixed;
    inset: auto;
    inset-block-end: calc(16px + env(safe-area-inset-bottom));
    inset-inline-end: calc(16px + env(safe-area-inset-right));
    display: grid;
    gap: 8px;
    width: min(360px, 100vw - 32px);
    margin: 0;
    padding: 0;
    border: 0;
    background: none;
    color: inherit;
    overflow: visible;
  }
  .toast {
    position: relative;
    border: 1px solid var(--border);
    border-radius: var(--radius);
    background: var(--background);
    box-shadow: var(--shadow);
    overflow: clip;
  }
  hub-inbox-item { margin-inline-end: 28px; }
  .toast > .icon { position: absolute; inset-block-start: 4px; inset-inline-end: 4px; z-index: 2; }
  @media (prefers-reduced-motion: no-preference) {
    .toast { animation: arrive 0.2s ease-out; }
    @keyframes arrive { from { opacity: 0; translate: 0 12px; } }
  }
`;

/**
 * The newest notifications that arrived while the panel was closed, in a corner of the page. They disappear after a while
 * in which the user has not pointed at them, and when they were read on any device. The bell announces them.
 */
export class InboxToasts extends ExportingElement {
  static override styles = [theme, toastsStyles];
  static override properties = {
    inbox: { attribute: false },
    i18n: { attribute: false },
    open: { attribute: false },
    icons: { attribute: false },
    _items: { state: true },
  };
  declare inbox: Inbox | undefined;
  declare i18n: I18n<Messages>;
  /** True if the panel is open. Then there are no toasts. */
  declare open: boolean;
  declare icons: Record<string, string> | null | undefined;
  declare _items: readonly Item[];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this._items = [];
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#clear();
  }

  add(item: Item): void {
    if (this.open) return;
    this._items = [item, ...this._items].slice(0, TOASTS_MAX);
    this.#restart();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("inbox")) {
      (changed.get("inbox") as Inbox | undefined)?.removeEventListener("change", this.#onChange);
      this.inbox?.addEventListener("change", this.#onChange);
    }
    if (this.open || !this.inbox) this.#clear();
  }

  protected override render(): TemplateResult | typeof nothing {
    const { i18n } = this;
    if (!this._items.length) return nothing;
    return html`<div
      popover="manual"
      role="group"
      part="toasts"
      aria-label=${i18n.t("notifications")}
      lang=${i18n.locale}
      dir=${i18n.dir}
      @mark=${this.#onMark}
      @keydown=${this.#onKey}
      @pointerleave=${this.#restart}
      @focusout=${this.#restart}
    >
      ${repeat(this._items, ({ id }) => id, (item) => this.#toast(item))}
    </div>`;
  }

  #toast(item: Item): TemplateResult {
    const label = this.i18n.t("dismiss");
    return html`<div class="toast" part="toast">
      <hub-inbox-item compact .item=${item} .i18n=${this.i18n} .now=${this.inbox?.now ?? Date.now()} .icon=${this.icons?.[item.category]} .current=${true} .hasUnread=${true}></hub-inbox-item>
      <button class="icon" part="dismiss" title=${label} aria-label="${label}: ${item.title}" @click=${() => this.#keep(({ id }) => id !== item.id)}>${icons.close}</button>
    </div>`;
  }

  protected override updated(): void {
    this.renderRoot.querySelector<HTMLElement>("[popover]:not(:popover-open)")?.showPopover();
  }

  readonly #restart = (): void => {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#expire, SHOWN_MS);
  };

  readonly #expire = (): void => {
    const isUsed = this.renderRoot.querySelector("[popover]")?.matches(":hover, :focus-within");
    if (isUsed || document.hidden) this.#restart();
    else this.#clear();
  };

  #clear(): void {
    clearTimeout(this.#timer);
    if (this._items.length) this._items = [];
  }

  /** Keep the toasts that meet the condition. If the focused one is removed, the next one or the bell gets the focus. */
  #keep(condition: (item: Item) => boolean): void {
    const hadFocus = !!this.shadowRoot?.activeElement;
    this._items = this._items.filter(condition);
    if (hadFocus) void this.updateComplete.then(() => this.shadowRoot?.activeElement || this.#focusNext());
  }

  #focusNext(): void {
    const root = this._items.length ? this.renderRoot : (this.getRootNode() as ShadowRoot);
    root.querySelector<HTMLElement>("[part=dismiss], .bell")?.focus({ preventScroll: true });
  }

  readonly #onChange = (): void => {
    if (!this._items.length) return;
    const current = this._items.map(({ id }) => this.inbox?.find(id)).filter((item) => item !== undefined);
    if (current.some((item, at) => item !== this._items[at]) || current.length < this._items.length) this._items = current;
    if (!this._items.every(isUnread)) this.#keep(isUnread);
  };

  #onMark({ detail }: CustomEvent<MarkDetail>): void {
    this.inbox?.mark(detail.verb, [detail.item.id], undefined, detail.action);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this.#keep(() => false);
  }
}

define("hub-inbox-toasts", InboxToasts);
