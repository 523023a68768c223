/** The queue by channel and priority, the providers, and for administrators the health of the hub. */
import { html, nothing } from "lit";
import { HubError } from "../../packages/client/src/errors";
import "./channel-pauses";
import { request } from "./client";
import { emptyState, LiveElement, skeleton } from "./element";
import { count, timeOf } from "./format";
import { Health, Queues, type Health as HealthState, type Queues as State } from "./operations";
import { pageHeading } from "./parts";
import { providerTable, queueTable } from "./queue-tables";

class QueuePage extends LiveElement {
  static override properties = { state: { state: true }, health: { state: true } };

  declare private state: State | undefined;
  /** Null if the caller may not read it. */
  declare private health: HealthState | null | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    const [state, health] = await Promise.all([request(Queues, undefined, signal), readHealth(signal)]);
    this.state = state;
    this.health = health;
  }

  override render() {
    return html`${pageHeading("Queue and providers", this.liveMark())}
      ${this.errorMessage()}
      ${this.state
        ? html`${this.problems()} <channel-pauses
            .state=${this.state} ?allowed=${!!this.health} @changed=${() => this.reload()}
          ></channel-pauses> ${queueTable(this.state.queues)} ${providerTable(this.state.providers)} ${this.workers()}`
        : this.error ? nothing : skeleton()}`;
  }

  private problems() {
    const { health } = this;
    if (health === null) return html`<p class="notice quiet-notice">Problems and workers are shown to the roles operator and admin.</p>`;
    if (!health) return nothing;
    if (health.ok) return html`<p class="notice good">The hub reports no problems.</p>`;
    return html`<div class="notice bad"><b>The hub reports problems.</b><ul>${health.problems.map((text) => html`<li>${text}</li>`)}</ul></div>`;
  }

  private workers() {
    const { health } = this;
    if (!health) return nothing;
    return html`<section class="card" aria-labelledby="workers">
      <h2 id="workers">Workers</h2>
      ${health.workers.length
        ? html`<div class="scroll" tabindex="0" role="group" aria-labelledby="workers"><table class="rows grid">
            <caption class="hidden">Running workers</caption>
            <thead>
              <tr>
                <th scope="col">Host</th><th scope="col">Version</th><th scope="col">Started</th>
                <th scope="col">Last heartbeat</th><th scope="col" class="number">Calls</th>
              </tr>
            </thead>
            <tbody>
              ${health.workers.map(
                (worker) => html`<tr>
                  <th scope="row">${worker.host}</th>
                  <td>${worker.version}</td>
                  <td>${timeOf(worker.startedAt)}</td>
                  <td>${timeOf(worker.heartbeatAt)}</td>
                  <td class="number">${count(worker.calls)}</td>
                </tr>`,
              )}
            </tbody>
          </table></div>`
        : emptyState("No worker is running.", "Nothing leaves the hub until one is started.")}
    </section>`;
  }
}

async function readHealth(signal: AbortSignal): Promise<HealthState | null> {
  try {
    return (await request(Health, undefined, signal)).health;
  } catch (error) {
    if (error instanceof HubError && error.code === "FORBIDDEN") return null;
    throw error;
  }
}

customElements.define("queue-page", QueuePage);
