/** The message about the last action, with a button to undo it. */
import { html, nothing, type LitElement, type TemplateResult } from "lit";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";

const SHOWN_MS = 10_000;

export class Toast {
  readonly #host: LitElement;
  #text = "";
  #undo: (() => string | void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: LitElement) {
    this.#host = host;
  }

  /** `undo` returns the id of an item that it restored, if it is known. */
  show(text: string, undo?: () => string | void): void {
    this.#text = text;
    this.#undo = undo;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#dismiss, SHOWN_MS);
    this.#host.requestUpdate();
  }

  /** Undo the action while the message about it is shown. */
  readonly undo = (): string | void => {
    const undo = this.#undo;
    if (!undo) return;
    this.#dismiss();
    return undo();
  };

  render(i18n: I18n<Messages>): TemplateResult | typeof nothing {
    if (!this.#text) return nothing;
    return html`<div class="toast" part="message" @focusin=${this.#hold} @pointerenter=${this.#hold}>
      <span>${this.#text}</span>
      ${this.#undo ? html`<button data-tool="undo" @click=${this.undo}>${i18n.t("undo")}</button>` : nothing}
      <button class="icon" title=${i18n.t("dismiss")} aria-label=${i18n.t("dismiss")} @click=${this.#dismiss}>${icons.close}</button>
    </div>`;
  }

  /** Do not hide the message while the user interacts with it. */
  readonly #hold = (): void => clearTimeout(this.#timer);

  readonly #dismiss = (): void => {
    const focused = this.#host.renderRoot.querySelector(".toast")?.matches(":focus-within");
    clearTimeout(this.#timer);
    this.#text = "";
    this.#undo = undefined;
    this.#host.requestUpdate();
    if (focused) this.#host.focus();
  };
}
