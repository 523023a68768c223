/** The dialog that lists the keyboard shortcuts. */
import { css, html, type TemplateResult } from "lit";
import type { I18n, TextKey } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";

const SHEET: [string[], TextKey<Messages>][] = [
  [["↓", "↑", "J", "K"], "keyMove"],
  [["Enter"], "keyOpen"],
  [["E"], "archive"],
  [["R"], "keyRead"],
  [["S"], "snooze"],
  [["P"], "pin"],
  [["W"], "why"],
  [["X"], "keySelect"],
  [["/"], "search"],
  [["Z", "Ctrl+Z"], "undo"],
  [["?"], "shortcuts"],
  [["Esc"], "close"],
];

export const sheetStyles = css`
  dialog {
    max-width: calc(100% - 24px);
    max-height: calc(100% - 24px);
    padding: 16px 20px;
    border: 1px solid var(--border);
    border-radius: var(--radius);
    background: var(--raised);
    color: var(--text);
    box-shadow: var(--shadow);
  }
  dialog::backdrop { background: rgb(0 0 0 / 0.3); }
  dialog .title { display: flex; align-items: center; gap: 16px; margin-inline-end: -8px; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 8px 16px; margin: 12px 0 0; }
  dt { display: flex; gap: 4px; }
  dd { margin: 0; }
  kbd {
    min-width: 1.8em;
    padding: 0 0.4em;
    border: 1px solid var(--border);
    border-radius: 5px;
    font: inherit;
    text-align: center;
  }
`;

export function shortcutSheet(i18n: I18n<Messages>, close: () => void): TemplateResult {
  return html`<dialog part="shortcuts" aria-labelledby="keys" @close=${close}>
    <div class="title">
      <h2 id="keys">${i18n.t("shortcuts")}</h2>
      <form method="dialog"><button class="icon" title=${i18n.t("close")} aria-label=${i18n.t("close")}>${icons.close}</button></form>
    </div>
    <dl>
      ${SHEET.map(([keys, text]) => html`<dt>${keys.map((key) => html`<kbd dir="ltr">${key}</kbd>`)}</dt><dd>${i18n.t(text)}</dd>`)}
    </dl>
  </dialog>`;
}
