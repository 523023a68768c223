/** Threads: the notifications of one thread can be one row, which shows the others when it is opened. */
import { css, html, nothing, type LitElement, type TemplateResult } from "lit";
import type { Item } from "../../../client/src/inbox";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import type { Row } from "./rows";

export const threadStyles = css`
  .nested { margin-inline-start: 24px; }
  .thread { grid-row: 3; margin-block-end: 10px; margin-inline-start: 34px; min-height: max(24px, var(--touch)); color: var(--muted); }
  .thread::before { content: "›" / ""; display: inline-block; margin-inline-end: 8px; font-weight: 650; }
  .thread[aria-expanded="true"]::before { rotate: 90deg; }
  .thread:dir(rtl)[aria-expanded="true"]::before { rotate: -90deg; }
  .thread.unread { color: var(--text); font-weight: 650; }
  .thread:hover { color: var(--text); text-decoration: underline; }
  .check ~ .thread { margin-inline-start: 70px; }
`;

export class Threads {
  readonly #host: LitElement;
  readonly #open = new Set<string>();

  constructor(host: LitElement) {
    this.#host = host;
  }

  /** Return the rows of sorted items, one per thread. */
  toRows(items: readonly Item[]): Row[] {
    const threads = new Map<string, Item[]>();
    for (const item of items)
      if (item.threadKey) threads.get(item.threadKey)?.push(item) ?? threads.set(item.threadKey, [item]);
    return items.flatMap((item) => {
      const [first = item, ...others] = threads.get(item.threadKey ?? "") ?? [];
      if (first !== item) return [];
      const nested = this.#isOpen(item) ? others : [];
      return [
        { id: item.id, item, others },
        ...nested.map((other) => ({ id: other.id, item: other, others: [], isNested: true })),
      ];
    });
  }

  /** Return the items that a mark of the row applies to: all of the thread while it is closed. */
  itemsOf({ item, others }: Row): Item[] {
    return this.#isOpen(item) ? [item] : [item, ...others];
  }

  /** The button that opens the thread. */
  render({ item, others }: Row, i18n: I18n<Messages>, isCurrent: boolean): TemplateResult | typeof nothing {
    if (!others.length) return nothing;
    const hasUnread = others.some(isUnread);
    const label = i18n.plural("moreOfThread", others.length);
    return html`<button
      class="thread ${hasUnread ? "unread" : ""}"
      part="thread"
      data-tool="thread"
      aria-label="${label}${hasUnread ? ` (${i18n.t("unread")})` : ""}: ${item.title}"
      aria-expanded=${this.#isOpen(item)}
      tabindex=${isCurrent ? 0 : -1}
      @click=${() => this.#toggle(item.threadKey!)}
    >${label}</button>`;
  }

  #isOpen({ threadKey }: Item): boolean {
    return this.#open.has(threadKey ?? "");
  }

  #toggle(key: string): void {
    if (!this.#open.delete(key)) this.#open.add(key);
    this.#host.requestUpdate();
  }
}
