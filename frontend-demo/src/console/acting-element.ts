/** The base of pages that change something: dialogs that confirm, and messages about the result. */
import { html, nothing, type PropertyDeclarations } from "lit";
import "./confirm-dialog";
import { LiveElement, toError } from "./element";
import "./secret-dialog";

/** A change that a dialog asks to confirm. `run` returns a sentence about the result. */
export interface Confirmation {
  readonly heading: string;
  readonly content: unknown;
  /** The label of the button. */
  readonly action: string;
  readonly danger?: boolean;
  readonly items?: number;
  readonly run: () => Promise<unknown>;
}

/** A secret that is shown once. */
export interface Secret {
  readonly heading: string;
  readonly value: string;
}

export abstract class ActingElement extends LiveElement {
  static override properties: PropertyDeclarations = {
    confirmation: { state: true },
    secret: { state: true },
    message: { state: true },
    failure: { state: true },
  };

  protected override readonly refreshMs: number = 0;

  declare protected confirmation: Confirmation | undefined;
  declare protected secret: Secret | undefined;
  /** A sentence about the last change. */
  declare protected message: unknown;
  /** The error of the last change, or "". */
  declare private failure: string;

  constructor() {
    super();
    this.message = "";
    this.failure = "";
  }

  /** Run a change, show the sentence that it returns or its error, and read again. */
  protected async act(run: () => Promise<unknown>): Promise<void> {
    this.message = this.failure = "";
    try {
      this.message = await run();
    } catch (error) {
      this.failure = toError(error).message;
      return;
    }
    await this.reload();
  }

  /** Return the message about the last change, and the open dialog. */
  protected feedback() {
    const { confirmation, secret } = this;
    return html`<p class="message" role="status">${this.message}</p>
      ${this.failure ? html`<p class="notice bad" role="alert">${this.failure}</p>` : nothing}
      ${confirmation
        ? html`<confirm-dialog
            heading=${confirmation.heading}
            action=${confirmation.action}
            ?danger=${confirmation.danger}
            .items=${confirmation.items ?? 0}
            .content=${confirmation.content}
            @confirm=${() => this.act(confirmation.run)}
            @close=${() => (this.confirmation = undefined)}
          ></confirm-dialog>`
        : nothing}
      ${secret
        ? html`<secret-dialog heading=${secret.heading} value=${secret.value} @close=${() => (this.secret = undefined)}></secret-dialog>`
        : nothing}`;
  }
}
