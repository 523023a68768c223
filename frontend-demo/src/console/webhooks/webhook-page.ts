/** One webhook endpoint: its calls with request, response code, and attempts; a test, replay, a new secret, disable. */
import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { counted, timeOf } from "../format";
import { ListPage } from "../list-page";
import { DELIVERY_STATUSES, statusName, toneOf } from "../labels";
import { facts, pageHeading } from "../parts";
import { address, navigate } from "../router";
import "./endpoint-dialog";
import { DeleteWebhook, EnableWebhook, ReplayWebhookCalls, RotateWebhookSecret, TestWebhook, WebhookCalls, type Call, type CallStatus, type Endpoint } from "./operations";
import { stateBadge } from "./webhooks-page";

const PAGE_SIZE = 30;
const STATUSES = ["ACCEPTED", "PROCESSING", "RETRYING", "DELIVERED", "FAILED"];

class WebhookPage extends ListPage<Call> {
  static override properties = { itemId: {}, endpoint: { state: true }, changing: { state: true } };

  declare itemId: string;
  declare private endpoint: Endpoint | null | undefined;
  declare private changing: boolean;
  protected override readonly refreshMs = 3_000;

  protected async load(signal: AbortSignal): Promise<void> {
    const status = this.params.get("status") ?? "";
    const variables = {
      statuses: Object.hasOwn(DELIVERY_STATUSES, status) ? [status as CallStatus] : null,
      first: PAGE_SIZE,
      after: this.cursor,
    };
    const { webhooks } = await request(WebhookCalls, variables, signal);
    const found = webhooks.find(({ id }) => id === this.itemId);
    this.endpoint = found ?? null;
    if (found) this.show(found.calls);
  }

  protected filtered(changes: Record<string, string | null>): string {
    return address("webhooks", this.itemId, { status: this.params.get("status"), ...changes });
  }

  override render() {
    const { endpoint } = this;
    if (!endpoint) {
      const missing = emptyState("This endpoint does not exist.", html`<a href=${address("webhooks")}>All endpoints</a>`);
      return html`${pageHeading("Webhook")} ${this.error ? this.errorMessage() : endpoint === null ? missing : skeleton()}`;
    }
    return html`${pageHeading(html`<bdi>${endpoint.url}</bdi>`, html`${stateBadge(endpoint)} ${this.liveMark()} ${this.actions(endpoint)}`)}
      ${endpoint.disabledReason ? html`<p class="notice bad">${endpoint.disabledReason}</p>` : nothing}
      ${this.feedback()} ${this.errorMessage()}
      <section class="card" aria-label="Endpoint">
        ${facts([
          ["Events", endpoint.events.length ? endpoint.events.join(", ") : "all"],
          ["Created", timeOf(endpoint.createdAt)],
          ["Id", html`<code>${endpoint.id}</code>`],
        ])}
      </section>
      ${this.filters()} ${this.table(this.rows ?? [])}
      ${this.changing
        ? html`<endpoint-dialog .endpoint=${endpoint} @close=${() => (this.changing = false)}
            @done=${() => this.act(async () => "The endpoint is changed.")}></endpoint-dialog>`
        : nothing}`;
  }

  private filters() {
    const status = this.params.get("status") ?? "";
    const failed = (this.rows ?? []).filter((call) => call.status === "FAILED");
    return html`<form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
      <label class="field ${status ? "chosen" : ""}"><span class="hidden">Status</span>
        <select @change=${(event: Event) => navigate(this.filtered({ status: (event.target as HTMLSelectElement).value }))}>
          <option value="">Any status</option>
          ${STATUSES.map((key) => html`<option value=${key} ?selected=${key === status}>${callStatus(key)}</option>`)}
        </select></label>
      ${failed.length
        ? html`<button type="button" @click=${() => this.replay(failed.map(({ id }) => id))}>
            Replay ${counted(failed.length, "failed call", "failed calls")} of this page</button>`
        : nothing}
    </form>`;
  }

  private actions(endpoint: Endpoint) {
    const { id, enabled } = endpoint;
    return html`<span class="actions">
      <button type="button" ?disabled=${!enabled} title=${enabled ? nothing : "Enable the endpoint first."} @click=${() => this.test(id)}>Send a test event</button>
      <button type="button" @click=${() => (this.changing = true)}>Change…</button>
      <button type="button" @click=${() => this.confirmRotation(id)}>New secret…</button>
      <button type="button" @click=${() => this.enable(id, !enabled)}>${enabled ? "Disable" : "Enable"}</button>
      <button type="button" @click=${() => this.confirmDelete(endpoint)}>Delete…</button>
    </span>`;
  }

  private table(calls: readonly Call[]) {
    if (!calls.length) return emptyState("No call matches.", "Calls are kept for 30 days, if the hub's settings do not say otherwise.");
    return html`<table class="rows">
        <caption class="hidden">Calls, newest first</caption>
        <thead>
          <tr><th scope="col">Time</th><th scope="col">Event</th><th scope="col">Status</th><th scope="col">Last response</th><th scope="col">Details</th></tr>
        </thead>
        <tbody>
          ${repeat(
            calls,
            ({ id }) => id, // a refreshed list keeps the details open
            (call) => html`<tr data-row>
              <td class="when">${timeOf(call.createdAt)}</td>
              <td><code>${call.event}</code></td>
              <td><span class="badge ${toneOf(call.status)}">${callStatus(call.status)}</span>
                ${call.dueAt && call.status === "RETRYING" ? html`<span class="quiet small">again ${timeOf(call.dueAt)}</span>` : nothing}</td>
              <td class="why">${responseOf(call)}</td>
              <td class="why">${this.details(call)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging()}`;
  }

  private details(call: Call) {
    return html`<details>
      <summary data-main>${counted(call.attempts.length, "attempt", "attempts")}</summary>
      <ol class="attempts">
        ${call.attempts.map((attempt) => html`<li>${timeOf(attempt.at)} <span class="quiet">${attempt.durationMs} ms</span>
          ${attempt.ok ? html`<span class="badge good">accepted</span>` : html`<span class="error-text"><bdi>${attempt.error}</bdi></span>`}</li>`)}
      </ol>
      <p class="quiet small">webhook-id <code>${call.id}</code></p>
      <pre tabindex="0" aria-label="Request">${JSON.stringify(call.payload, null, 2)}</pre>
      ${call.status === "FAILED" ? html`<button type="button" @click=${() => this.replay([call.id])}>Replay</button>` : nothing}
    </details>`;
  }

  /** Send a test event, and show its call, which the list refreshes. */
  private async test(id: string): Promise<void> {
    await this.act(async () => {
      await request(TestWebhook, { id });
      return "A test event is being sent. The list shows the response.";
    });
    if (this.params.size) navigate(address("webhooks", id));
  }

  private replay(ids: string[]): Promise<void> {
    return this.act(async () => {
      const { replayWebhookCalls: replayed } = await request(ReplayWebhookCalls, { ids });
      return replayed ? `${counted(replayed, "call is", "calls are")} being sent again.` : "Nothing was sent: the endpoint is disabled.";
    });
  }

  private enable(id: string, enabled: boolean): Promise<void> {
    return this.act(async () => {
      await request(EnableWebhook, { id, enabled });
      return enabled ? "The endpoint is enabled." : "The endpoint is disabled. Events that happen now are not sent later.";
    });
  }

  private confirmRotation(id: string): void {
    this.confirmation = {
      heading: "Create a new secret",
      content: html`<p>Calls are signed with the new secret. For one day, they are also signed with the previous one.</p>`,
      action: "Create secret",
      run: async () => {
        const value = (await request(RotateWebhookSecret, { id })).rotateWebhookSecret.secret;
        this.secret = { heading: "The new secret", value };
        return "The secret is replaced.";
      },
    };
  }

  private confirmDelete({ id, url }: Endpoint): void {
    this.confirmation = {
      heading: "Delete the endpoint",
      content: html`<p>The hub no longer calls <b><bdi>${url}</bdi></b>, and its calls are no longer listed.</p>`,
      action: "Delete",
      danger: true,
      run: async () => {
        await request(DeleteWebhook, { id });
        navigate(address("webhooks"), { replace: true });
        return "";
      },
    };
  }
}

/** A call is delivered when the endpoint has accepted it. */
const callStatus = (status: string): string => (status === "DELIVERED" ? "Accepted" : statusName(status));

/** The last response: its code, or the error of the connection. */
function responseOf({ attempts }: Call) {
  const last = attempts.at(-1);
  if (!last) return html`<span class="quiet">not called yet</span>`;
  return last.ok ? html`2xx` : html`<bdi>${last.error}</bdi>`;
}

customElements.define("webhook-page", WebhookPage);
