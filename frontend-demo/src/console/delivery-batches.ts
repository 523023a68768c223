/** The replays and cancellations that run in the background, with their progress. */
import { html, nothing } from "lit";
import { request } from "./client";
import { LiveElement, toError } from "./element";
import { count, timeOf } from "./format";
import { DeliveryBatches, StopBatch, type DeliveryBatch } from "./operations";
import { may } from "./roles";

/** Batches that ended in this time are also shown. */
const RECENT_MS = 600_000;

class DeliveryBatchList extends LiveElement {
  static override properties = { batches: { state: true }, message: { state: true } };
  protected override readonly refreshMs = 2_000;

  declare private batches: readonly DeliveryBatch[] | undefined;
  declare private message: string;

  constructor() {
    super();
    this.message = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const { deliveryBatches } = await request(DeliveryBatches, {}, signal);
    const since = Date.now() - RECENT_MS;
    this.batches = deliveryBatches.filter(({ endedAt }) => !endedAt || Date.parse(endedAt) > since);
  }

  override render() {
    return html`${this.message ? html`<p class="message" role="status">${this.message}</p>` : nothing}
    ${this.batches?.map((batch) => this.batch(batch))}`;
  }

  private batch({ id, action, startedAt, note, perMinute, total, done, endedAt, stopped }: DeliveryBatch) {
    const state = stopped ? "was stopped" : endedAt ? "is complete" : "runs";
    const verb = action === "REPLAY" ? "sent again" : "canceled";
    return html`<div class="notice quiet-notice paused">
      <p>
        <b>${action === "REPLAY" ? "A replay" : "A cancellation"} ${state}:</b> ${count(done)} of ${count(total)}
        ${verb}${perMinute ? html`, at most ${count(perMinute)} per minute` : nothing}, started
        ${timeOf(startedAt)}${note ? html`: <bdi>${note}</bdi>` : "."}
        <progress aria-label="Progress" class=${endedAt ? "quiet" : "wait"} max=${total} value=${done}></progress>
      </p>
      ${endedAt || !may("operator") ? nothing : html`<button type="button" @click=${() => this.stop(id)}>Stop</button>`}
    </div>`;
  }

  private async stop(id: string): Promise<void> {
    try {
      await request(StopBatch, { id });
      this.message = "Stopped.";
    } catch (error) {
      this.message = toError(error).message;
    }
    await this.reload();
  }
}

customElements.define("delivery-batches", DeliveryBatchList);
