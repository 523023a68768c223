/** A dialog that shows a secret once. */
import { html } from "lit";
import { ConsoleElement } from "./element";

/** Properties: `heading`, `value`. Event: `close`. */
class SecretDialog extends ConsoleElement {
  static override properties = { heading: {}, value: {}, copied: { state: true } };

  declare heading: string;
  declare value: string;
  declare private copied: boolean;

  override firstUpdated(): void {
    this.querySelector("dialog")?.showModal();
    this.querySelector("input")?.select();
  }

  override render() {
    return html`<dialog aria-labelledby="secret-heading" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form method="dialog">
        <h2 id="secret-heading">${this.heading}</h2>
        <p>Store it now. The hub does not show it again.</p>
        <input class="secret" type="text" readonly aria-label="Secret" .value=${this.value} />
        <div class="dialog-actions">
          <span class="quiet small" role="status">${this.copied ? "Copied." : ""}</span>
          <button type="button" @click=${this.copy}>Copy</button>
          <button class="main">I have stored it</button>
        </div>
      </form>
    </dialog>`;
  }

  private async copy(): Promise<void> {
    const input = this.querySelector("input");
    input?.select();
    try {
      await navigator.clipboard.writeText(this.value);
      this.copied = true;
    } catch {
      input?.focus(); // no permission: the text is selected, so a person can copy it
    }
  }
}

customElements.define("secret-dialog", SecretDialog);
