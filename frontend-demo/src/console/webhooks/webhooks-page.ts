/** The webhook endpoints of the tenant, with the success rate of their newest calls. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { counted, percent, timeOf } from "../format";
import { pageHeading } from "../parts";
import { address } from "../router";
import "./endpoint-dialog";
import type { EndpointResult } from "./endpoint-dialog";
import { Webhooks, type Endpoint, type EndpointRow } from "./operations";

class WebhooksPage extends ActingElement {
  static override properties = { rows: { state: true }, creating: { state: true } };

  declare private rows: readonly EndpointRow[] | undefined;
  declare private creating: boolean;

  protected async load(signal: AbortSignal): Promise<void> {
    this.rows = (await request(Webhooks, undefined, signal)).webhooks;
  }

  override render() {
    return html`${pageHeading(
        "Webhooks",
        html`<span class="actions"><button class="main" type="button" @click=${() => (this.creating = true)}>New endpoint…</button></span>`,
      )}
      <p class="lead">URLs of your systems that the hub calls for each event. Calls are signed.</p>
      ${this.feedback()}
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(4)}
      ${this.creating
        ? html`<endpoint-dialog @close=${() => (this.creating = false)} @done=${this.onCreated}></endpoint-dialog>`
        : nothing}`;
  }

  private readonly onCreated = ({ detail }: CustomEvent<EndpointResult>): void => {
    if (detail.secret) this.secret = { heading: "The secret of the endpoint", value: detail.secret };
    void this.act(async () => "The endpoint is created.");
  };

  private table(rows: readonly EndpointRow[]) {
    if (!rows.length) return emptyState("There are no endpoints yet.", "The hub calls an endpoint when a notification is read, a delivery fails, and so on.");
    return html`<table class="rows">
      <caption class="hidden">Webhook endpoints</caption>
      <thead>
        <tr>
          <th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Successful calls</th>
          <th scope="col">Last call</th><th scope="col">Events</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr data-row>
            <td class="title"><a data-main href=${address("webhooks", row.id)}><bdi>${row.url}</bdi></a></td>
            <td>${stateBadge(row)}</td>
            <td>${successRate(row)}</td>
            <td class="when">${timeOf(row.recent.nodes[0]?.createdAt)}</td>
            <td class="quiet">${row.events.length ? counted(row.events.length, "type", "types") : "all"}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }
}

/** Return the badge of an endpoint. */
export const stateBadge = ({ enabled, disabledReason }: Endpoint) =>
  enabled
    ? html`<span class="badge good">enabled</span>`
    : html`<span class="badge ${disabledReason ? "bad" : "quiet"}" title=${disabledReason ?? nothing}>disabled</span>`;

/** Return the share of the newest calls that succeeded. Calls that have not ended do not count. */
function successRate({ recent }: EndpointRow) {
  const ended = recent.nodes.filter(({ status }) => status === "DELIVERED" || status === "FAILED");
  if (!ended.length) return html`<span class="quiet">no calls</span>`;
  const good = ended.filter(({ status }) => status === "DELIVERED").length;
  return html`<span class=${good < ended.length ? "late" : ""}>${percent(good / ended.length)}</span>
    <span class="quiet small">of ${ended.length}</span>`;
}

customElements.define("webhooks-page", WebhooksPage);
