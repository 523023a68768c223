/** The content of rows that the page renders itself. It is in the light DOM, so the page's styles apply to it. */
import { render } from "lit";
import type { Item } from "../../../client/src/inbox";
import type { RenderItem } from "../elements";

interface Row {
  item: Item;
  /** The result of the page's function. It is a child of the element that the page contains. */
  content: HTMLElement;
  /** Passes the content to the panel. */
  slot: HTMLSlotElement;
}

/** The name of the slot of a row. */
export const slotName = (item: Item): string => `item-${item.id}`;

export class OwnContent {
  readonly #rows = new Map<string, Row>();
  #render: RenderItem | null | undefined;

  /** Render the content of these items, and remove that of all others. `host` contains `panel` in its shadow root. */
  update(host: Element, panel: Element, items: readonly Item[], renderItem: RenderItem | null | undefined): void {
    const before = new Map(this.#rows);
    const isOtherFunction = renderItem !== this.#render;
    let hasChanged = false;
    this.#render = renderItem;
    for (const item of renderItem ? items : []) {
      const row = before.get(item.id) ?? this.#add(host, panel, item);
      const isNew = !before.delete(item.id);
      if (isOtherFunction || isNew || row.item !== item) {
        row.item = item;
        hasChanged = true;
        try {
          render(renderItem?.(item), row.content);
        } catch (error) {
          reportError(error); // the other rows, and the pages that follow, are shown
        }
      }
    }
    for (const [id, { content, slot }] of before) {
      this.#rows.delete(id);
      content.remove();
      slot.remove();
    }
    if (!hasChanged && !before.size) return;
    const rows = new Map([...this.#rows.values()].map(({ content, item }) => [content, item]));
    host.dispatchEvent(new CustomEvent("hub-rows", { detail: { rows } }));
  }

  #add(host: Element, panel: Element, item: Item): Row {
    const row = { item, content: document.createElement("div"), slot: document.createElement("slot") };
    row.content.slot = row.slot.slot = row.slot.name = slotName(item);
    host.append(row.content);
    panel.append(row.slot);
    this.#rows.set(item.id, row);
    return row;
  }
}
