import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { define } from "../page";
import { icons } from "./inbox-icons";
import { ExportingElement } from "./parts";
import { menuStyles } from "./styles";
import { theme } from "./theme";

/** One entry of the menu. `key` identifies it in tests and styles. */
export interface MenuEntry {
  key: string;
  label: string;
  run: () => void;
}

/** A button that opens a menu, as in the menu button pattern of the ARIA Authoring Practices Guide. */
export class InboxMenu extends ExportingElement {
  static override styles = [theme, menuStyles];
  static override properties = { label: { attribute: false }, entries: { attribute: false }, _open: { state: true } };
  declare label: string;
  /** Called when the menu opens. */
  declare entries: () => MenuEntry[];
  declare _open: boolean;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#close();
  }

  protected override render(): TemplateResult {
    const { label } = this;
    return html`<button
        class="icon"
        part="menu-button"
        data-tool="menu"
        title=${label}
        aria-label=${label}
        aria-haspopup="menu"
        aria-expanded=${Boolean(this._open)}
        @click=${this.#toggle}
        @keydown=${this.#onButtonKey}
      >${icons.more}</button>
      ${this._open
        ? html`<div role="menu" part="menu" aria-label=${label} @keydown=${this.#onMenuKey} @focusout=${this.#onFocusOut}>
            ${this.entries().map(
              (entry) =>
                html`<button role="menuitem" part="menu-item" tabindex="-1" data-tool=${entry.key} @click=${() => this.#choose(entry)}>${entry.label}</button>`,
            )}
          </div>`
        : nothing}`;
  }

  protected override updated(changed: PropertyValues): void {
    if (!changed.has("_open")) return;
    if (this._open) this.#items()[0]?.focus();
    const toggleListener = this._open ? addEventListener : removeEventListener;
    toggleListener("pointerdown", this.#onPointerDown, { capture: true });
  }

  #items(): HTMLElement[] {
    return [...this.renderRoot.querySelectorAll<HTMLElement>("[role=menuitem]")];
  }

  readonly #toggle = (): void => void (this._open = !this._open);

  readonly #close = (): void => void (this._open = false);

  #choose(entry: MenuEntry): void {
    this.#return();
    entry.run();
  }

  /** Close the menu, and move the focus to its button. */
  #return(): void {
    this.#close();
    this.renderRoot.querySelector("button")?.focus();
  }

  #onButtonKey(event: KeyboardEvent): void {
    if (event.key !== "ArrowDown" || this._open) return;
    event.preventDefault();
    this._open = true;
  }

  #onMenuKey(event: KeyboardEvent): void {
    event.stopPropagation(); // the keys are not shortcuts of the panel
    const items = this.#items();
    const at = items.indexOf(event.target as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined && event.key !== "Escape") return;
    event.preventDefault(); // otherwise Escape closes the panel
    if (to === undefined) this.#return();
    else items.at(to % items.length)?.focus();
  }

  #onFocusOut({ relatedTarget }: FocusEvent): void {
    if (relatedTarget && !this.renderRoot.contains(relatedTarget as Node)) this.#close();
  }

  readonly #onPointerDown = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.#close();
  };
}

define("hub-inbox-menu", InboxMenu);
