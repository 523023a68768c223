/** The parts of the panel that are loaded when it opens: selections, threads, the search, and the list of shortcuts. */
import type { LitElement } from "lit";
import { Search, searchStyles } from "./search";
import { Selection, selectionStyles } from "./selection";
import { shortcutSheet, sheetStyles } from "./shortcut-sheet";
import { choicesStyles } from "./snooze";
import { Threads, threadStyles } from "./threads";

const STYLES = [choicesStyles, selectionStyles, threadStyles, searchStyles, sheetStyles];

/** `/inbox-panel.js` loads this class from `/inbox-tools.js`. */
export class Tools {
  readonly selection: Selection;
  readonly threads: Threads;
  readonly search: Search;
  readonly shortcutSheet = shortcutSheet;

  /** `onSearch` is called when the search lists something else. */
  constructor(panel: LitElement, onSearch: () => void) {
    this.selection = new Selection(panel);
    this.threads = new Threads(panel);
    this.search = new Search(panel, onSearch);
    const { adoptedStyleSheets } = panel.renderRoot as ShadowRoot;
    for (const { styleSheet } of STYLES) if (styleSheet) adoptedStyleSheets.push(styleSheet);
  }
}
