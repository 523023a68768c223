/** The keyboard shortcuts of the console. */
import { html } from "lit";
import { ConsoleElement } from "./element";
import { PAGE_KEYS } from "./navigation";
import { address, navigate } from "./router";

const SEQUENCE_MS = 1_500; // between the two keys

let previous = { key: "", at: 0 };

/** Handle shortcuts outside of text fields and dialogs. */
export function listenToKeys(actions: { find: () => void; help: () => void }): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const { key } = event;
    const first = Date.now() - previous.at < SEQUENCE_MS ? previous.key : "";
    previous = { key, at: Date.now() };
    if (first === "g" && PAGE_KEYS[key]) {
      previous.key = "";
      navigate(address(PAGE_KEYS[key][0]));
    } else if (key === "/") actions.find();
    else if (key === "?") actions.help();
    else if (key === "j" || key === "k") moveRow(key === "j" ? 1 : -1);
    else return;
    event.preventDefault();
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Move the focus to the main link of the next or previous row. */
function moveRow(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const current = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[current < 0 ? (step > 0 ? 0 : rows.length - 1) : current + step];
  const link = next?.querySelector<HTMLElement>("[data-main]") ?? next?.querySelector<HTMLElement>("a");
  link?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** The list of shortcuts. Event: `close`. */
class ShortcutHelp extends ConsoleElement {
  override firstUpdated(): void {
    this.querySelector("dialog")?.showModal();
  }

  override render() {
    const pages = Object.entries(PAGE_KEYS).map(([key, [, name]]) => [["g", key], `Open ${name}`] as const);
    const rows = [[["/"], "Find"], [["j"], "Next row"], [["k"], "Previous row"], [["Enter"], "Open the row"], ...pages, [["?"], "Show this list"]] as const;
    return html`<dialog aria-labelledby="shortcuts" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form method="dialog">
        <h2 id="shortcuts">Keyboard shortcuts</h2>
        <dl class="shortcuts">
          ${rows.map(([keys, text]) => html`<div><dt>${keys.map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${text}</dd></div>`)}
        </dl>
        <div class="dialog-actions"><button class="main">Close</button></div>
      </form>
    </dialog>`;
  }
}

customElements.define("shortcut-help", ShortcutHelp);
