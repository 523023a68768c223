/** A dialog that asks for a confirmation. A large number must be typed. */
import { html, nothing } from "lit";
import { ConsoleElement } from "./element";
import { count } from "./format";

/** Changes of more items than this are confirmed by typing their number. */
export const TYPED_ABOVE = 1_000;

/** Properties: `heading`, `content`, `action` (the label of the button), `items`, `danger`. Events: `confirm`, `close`. */
export class ConfirmDialog extends ConsoleElement {
  static override properties = {
    heading: {},
    action: {},
    content: { attribute: false },
    items: { type: Number },
    danger: { type: Boolean },
    typed: { state: true },
  };

  declare heading: string;
  declare action: string;
  declare content: unknown;
  declare items: number;
  declare danger: boolean;
  declare private typed: string;

  constructor() {
    super();
    this.items = 0;
    this.typed = "";
  }

  override firstUpdated(): void {
    this.querySelector("dialog")?.showModal();
  }

  override render() {
    const mustType = this.items > TYPED_ABOVE;
    const confirmed = !mustType || this.typed.replaceAll(/[,. ]/g, "") === String(this.items);
    return html`<dialog aria-labelledby="confirm-heading" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form method="dialog" @submit=${this.onSubmit}>
        <h2 id="confirm-heading">${this.heading}</h2>
        <div>${this.content}</div>
        ${mustType
          ? html`<label class="stacked"
              >To confirm, type ${count(this.items)}
              <input
                type="text"
                inputmode="numeric"
                autocomplete="off"
                .value=${this.typed}
                @input=${(event: Event) => (this.typed = (event.target as HTMLInputElement).value)}
            /></label>`
          : nothing}
        <div class="dialog-actions">
          <button type="button" @click=${() => this.querySelector("dialog")?.close()}>Cancel</button>
          ${this.action
            ? html`<button class="main ${this.danger ? "danger" : ""}" type="submit" ?disabled=${!confirmed}>${this.action}</button>`
            : nothing}
        </div>
      </form>
    </dialog>`;
  }

  private onSubmit(event: SubmitEvent): void {
    event.preventDefault();
    this.dispatchEvent(new Event("confirm"));
    this.querySelector("dialog")?.close();
  }
}

customElements.define("confirm-dialog", ConfirmDialog);
