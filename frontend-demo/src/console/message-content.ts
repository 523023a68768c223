/** The content of a delivery or of a send. If the audit log records who reads it, it is read when the person asks. */
import { html, nothing } from "lit";
import { request } from "./client";
import { LoadingElement } from "./element";
import { DeliveryContent, SendContent } from "./operations";
import { isContentRecorded, may } from "./roles";

class MessageContent extends LoadingElement {
  static override properties = { delivery: {}, send: {}, body: { state: true }, asked: { state: true } };

  /** The id of the delivery or of the send. */
  declare delivery: string | undefined;
  declare send: string | undefined;
  declare private body: string | undefined;
  declare private asked: boolean;

  constructor() {
    super();
    this.asked = !isContentRecorded();
  }

  protected async load(signal: AbortSignal): Promise<void> {
    if (!this.asked) return;
    this.body = this.delivery
      ? (await request(DeliveryContent, { id: this.delivery }, signal)).delivery?.notification?.body
      : (await request(SendContent, { id: this.send ?? "" }, signal)).send?.content?.body;
  }

  override render() {
    if (!may("support")) return html`<p class="quiet small">The role viewer does not see the content.</p>`;
    if (!this.asked)
      return html`<p>
        <button type="button" @click=${this.show}>Show content</button>
        <span class="quiet small">The audit log records it.</span>
      </p>`;
    if (this.error) return this.errorMessage();
    return this.body === undefined ? nothing : html`<p class="content-body"><bdi>${this.body}</bdi></p>`;
  }

  private show(): void {
    this.asked = true;
    void this.reload();
  }
}

customElements.define("message-content", MessageContent);
