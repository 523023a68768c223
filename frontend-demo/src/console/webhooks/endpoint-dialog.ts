/** The dialog that creates or changes an endpoint. */
import { html } from "lit";
import { request } from "../client";
import { ConsoleElement } from "../element";
import { Form } from "../form";
import { EVENTS } from "./events";
import { CreateWebhook, UpdateWebhook, type Endpoint } from "./operations";

/** What the dialog did. `secret` is that of a new endpoint. */
export interface EndpointResult {
  readonly id: string;
  readonly secret?: string;
}

/** Properties: `endpoint` (undefined for a new one). Events: `close`, and `done` with an EndpointResult. */
class EndpointDialog extends ConsoleElement {
  static override properties = { endpoint: { attribute: false } };

  declare endpoint: Endpoint | undefined;
  private readonly form = new Form<{ url: string; events: readonly string[] }>(this, { url: "", events: [] });

  override firstUpdated(): void {
    if (this.endpoint) this.form.reset({ url: this.endpoint.url, events: this.endpoint.events });
    this.querySelector("dialog")?.showModal();
  }

  override render() {
    const { form } = this;
    return html`<dialog aria-labelledby="endpoint-heading" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form class="form" @submit=${this.onSubmit}>
        <h2 id="endpoint-heading">${this.endpoint ? "Change the endpoint" : "New endpoint"}</h2>
        ${form.text("url", "URL", { required: true, placeholder: "https://example.org/hub" })}
        ${form.checks("events", "Events", EVENTS.map((event) => [event, event] as const), "Without a choice, the endpoint receives all events.")}
        ${form.rest()}
        <div class="dialog-actions">
          <button type="button" @click=${() => this.querySelector("dialog")?.close()}>Cancel</button>
          <button class="main" ?disabled=${form.busy}>${this.endpoint ? "Save" : "Create"}</button>
        </div>
      </form>
    </dialog>`;
  }

  private readonly onSubmit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const detail = await this.form.submit(() => this.save());
    if (!detail) return;
    this.dispatchEvent(new CustomEvent<EndpointResult>("done", { detail }));
    this.querySelector("dialog")?.close();
  };

  private async save(): Promise<EndpointResult> {
    const { url, events } = this.form.values;
    const given = { url: url.trim(), events: events.length ? [...events] : null };
    if (this.endpoint) return (await request(UpdateWebhook, { id: this.endpoint.id, ...given })).updateWebhook;
    const { createWebhook } = await request(CreateWebhook, { input: given });
    return { id: createWebhook.endpoint.id, secret: createWebhook.secret };
  }
}

customElements.define("endpoint-dialog", EndpointDialog);
