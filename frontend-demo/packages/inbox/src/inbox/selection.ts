/** The notifications that the user has selected, and the bar with the actions for them. */
import { css, html, nothing, type LitElement, type TemplateResult } from "lit";
import type { Item, Verb, View } from "../../../client/src/inbox";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";
import { snoozeChoices, type Until } from "./snooze";

type Rows = readonly { id: string }[];

const { read: markRead, unread: markUnread, wake: unsnooze, snooze, archive, unarchive } = icons;
const ICONS = { markRead, markUnread, snooze, unsnooze, archive, unarchive };
type Tool = keyof typeof ICONS;

/** The actions of each view. */
const TOOLS: Record<View, Tool[]> = {
  ACTIVE: ["markRead", "snooze", "archive"],
  UNREAD: ["markRead", "snooze", "archive"],
  ARCHIVED: ["unarchive"],
  SNOOZED: ["unsnooze", "archive"],
};

export const selectionStyles = css`
  .bar { position: absolute; inset-block-start: 0; inset-inline: 0; z-index: 3; flex-wrap: wrap; background: var(--background); }
  .bar:has(.choices) { border-block-end: 1px solid var(--border); box-shadow: var(--shadow); }
  .bar > span { flex: 1; margin-inline-start: 8px; font-weight: 600; }
  .bar > input, .check input { width: 18px; height: 18px; margin: 0; accent-color: var(--accent); }
  .bar .icon:disabled { opacity: 0.4; cursor: default; }
  .bar .choices { flex-basis: 100%; padding-block-end: 8px; }
  li:has(> .check) { display: grid; grid-template-columns: minmax(0, 1fr); }
  .check, .check + * { grid-area: 2 / 1; }
  .check { z-index: 2; user-select: none; -webkit-user-select: none; padding-block-start: 13px; padding-inline-start: 16px; cursor: pointer; }
  .check + * { padding-inline-start: 36px; }
  .check:has(:checked) + * { --hover: transparent; background: color-mix(in srgb, var(--accent) 10%, transparent); }
`;

export class Selection {
  readonly #host: LitElement;
  /** True while the rows have checkboxes. */
  isActive = false;
  #isSnoozing = false;
  #anchor: string | undefined; // where a range starts
  readonly #ids = new Set<string>();

  constructor(host: LitElement) {
    this.#host = host;
  }

  /** Show the checkboxes. */
  start(): void {
    this.isActive = true;
    this.#host.requestUpdate();
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Select a row, or the range from the last one. `isSelected` is false to take them out of the selection. */
  select(rows: Rows, id: string, isRange: boolean, isSelected = !this.has(id)): void {
    const [from, to] = [this.#anchor ?? id, id].map((end) => rows.findIndex((row) => row.id === end)) as [number, number];
    const range = isRange && from >= 0 ? rows.slice(Math.min(from, to), Math.max(from, to) + 1) : [{ id }];
    for (const row of range) this.#ids[isSelected ? "add" : "delete"](row.id);
    this.#anchor = id;
    this.start();
  }

  /** Select the rows from one to another, to which the keyboard moves. */
  extend(rows: Rows, from: string, to: string): void {
    this.select(rows, from, false, true);
    this.select(rows, to, true, true);
  }

  /** Select all rows, or none of them if all are selected. */
  selectAll(rows: Rows): void {
    const areAll = rows.every(({ id }) => this.has(id));
    this.clear();
    this.start();
    if (!areAll) for (const { id } of rows) this.#ids.add(id);
  }

  clear(): void {
    this.#ids.clear();
    this.#anchor = undefined;
    this.isActive = this.#isSnoozing = false;
    this.#host.requestUpdate();
  }

  /** Close the choices for the end of a snooze, or end the selection. */
  cancel(): void {
    if (this.#isSnoozing) this.#toggleChoices();
    else this.clear();
  }

  /** The checkbox of a row, whose label covers the row. */
  renderBox(rows: Rows, item: Item, i18n: I18n<Messages>, isCurrent: boolean): TemplateResult | typeof nothing {
    if (!this.isActive) return nothing;
    return html`<label class="check">
      <input
        part="checkbox"
        type="checkbox"
        aria-label="${i18n.t("select")}: ${item.title}"
        tabindex=${isCurrent ? 0 : -1}
        .checked=${this.has(item.id)}
        @click=${(event: MouseEvent) => this.select(rows, item.id, event.shiftKey)}
      />
    </label>`;
  }

  /** The bar covers the header. `items` are selected. */
  render(rows: Rows, items: readonly Item[], view: View, i18n: I18n<Messages>, now: number, mark: (verb: Verb, until?: Until) => void) {
    if (!this.isActive) return nothing;
    const areAll = rows.every(({ id }) => this.has(id));
    return html`<div class="head bar" part="selection" role="group" aria-label=${i18n.t("selectMany")}>
      <input
        type="checkbox"
        title=${i18n.t("selectAll")}
        aria-label=${i18n.t("selectAll")}
        .checked=${areAll}
        .indeterminate=${items.length > 0 && !areAll}
        @click=${() => this.selectAll(rows)}
      />
      <span>${i18n.plural("selected", items.length)}</span>
      ${TOOLS[view].map((tool) => {
        const verb = tool === "markRead" && items.length && !items.some(isUnread) ? "markUnread" : tool;
        const run = () => (verb === "snooze" ? this.#toggleChoices() : mark(verb));
        return barButton(verb, i18n.t(verb), ICONS[verb], !items.length, run);
      })}
      ${barButton("clear", i18n.t("clearSelection"), icons.close, false, () => this.clear())}
      ${this.#isSnoozing ? snoozeChoices(i18n, now, (until) => mark("snooze", until)) : nothing}
    </div>`;
  }

  #toggleChoices(): void {
    this.#isSnoozing = !this.#isSnoozing;
    this.#host.requestUpdate();
    const to = this.#isSnoozing ? ".bar .choices button" : ".bar [data-tool=snooze]";
    void this.#host.updateComplete.then(() => this.#host.renderRoot.querySelector<HTMLElement>(to)?.focus());
  }
}

function barButton(name: string, label: string, icon: unknown, isDisabled: boolean, run: () => void): TemplateResult {
  return html`<button class="icon" data-tool=${name} title=${label} aria-label=${label} ?disabled=${isDisabled} @click=${run}>${icon}</button>`;
}
