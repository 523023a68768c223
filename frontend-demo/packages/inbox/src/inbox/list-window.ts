/** The rows of a long list that are near the visible part. Gaps take the place of the other rows. */
import { html, type LitElement, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

const MARGIN_PX = 1_000; // the distance from the visible part up to which rows are rendered
const ROW_PX = 92; // the estimated height of a row that has not been rendered yet

type Row = { id: string };
type Entry<Item> = { key: string; item?: Item; index: number; height: number };

/** The row that has the focus and its neighbors are always rendered. */
export class ListWindow<Item extends Row> {
  /** The scroll position. */
  top = 0;
  /** The id of a row that is always rendered. */
  current: string | undefined;
  readonly #host: LitElement;
  readonly #heights = new Map<string, number>();
  #width = 0;

  constructor(host: LitElement) {
    this.#host = host;
  }

  /** Remember the scroll position, and the heights of the rows that are rendered. */
  measure(scroller: HTMLElement): void {
    this.top = scroller.scrollTop;
    if (this.#width !== scroller.clientWidth) this.#heights.clear();
    this.#width = scroller.clientWidth;
    for (const row of scroller.querySelectorAll<HTMLElement>("li[data-id]"))
      this.#heights.set(row.dataset.id!, row.getBoundingClientRect().height);
  }

  /** Return list items. `isComplete` is false if there are more rows than `items`. */
  render(items: readonly Item[], isComplete: boolean, content: (item: Item, index: number) => TemplateResult): unknown {
    const size = isComplete ? items.length : -1;
    return repeat(this.#entries(items), ({ key }) => key, ({ key, item, index, height }) =>
      item
        ? html`<li data-id=${key} aria-posinset=${index + 1} aria-setsize=${size}>${content(item, index)}</li>`
        : html`<li class="gap" aria-hidden="true" .style=${`height: ${height}px`}></li>`,
    );
  }

  #entries(items: readonly Item[]): Entry<Item>[] {
    const focused = this.#focusedIndex(items);
    const [from, to] = [this.top - MARGIN_PX, this.top + innerHeight + MARGIN_PX];
    const entries: Entry<Item>[] = [];
    let end = 0; // the position at which the current row ends
    items.forEach((item, index) => {
      const height = this.#heights.get(item.id) ?? ROW_PX;
      const last = entries.at(-1);
      end += height;
      if ((end >= from && end - height <= to) || (focused >= 0 && Math.abs(index - focused) <= 1) || item.id === this.current)
        entries.push({ key: item.id, item, index, height });
      else if (last && !last.item) last.height += height;
      else entries.push({ key: `before ${index}`, index, height });
    });
    return entries;
  }

  #focusedIndex(items: readonly Item[]): number {
    const id = this.#host.shadowRoot?.activeElement?.closest("li")?.dataset.id;
    return id ? items.findIndex((item) => item.id === id) : -1;
  }
}
