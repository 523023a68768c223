/** The dialog that cancels all matching deliveries that wait. */
import { html } from "lit";
import { request } from "./client";
import "./confirm-dialog";
import { LoadingElement, toError } from "./element";
import { count, counted } from "./format";
import { CancelMatching, DeliveryTotal, type DeliveryFilter } from "./operations";
import { noteField } from "./replay-dialog";

const WAITING = ["ACCEPTED", "HELD", "RETRYING"] as const;
/** The number that stands for more than the hub counts. */
const VERY_MANY = 10_001;

/** Properties: `filter`. Events: `close`, and `done` with a sentence about the result. */
class CancelDialog extends LoadingElement {
  static override properties = { filter: { attribute: false }, total: { state: true }, note: { state: true } };

  declare filter: DeliveryFilter;
  declare private total: number | undefined;
  declare private note: string;

  constructor() {
    super();
    this.note = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const chosen = this.filter.statuses;
    const statuses = WAITING.filter((status) => !chosen?.length || chosen.includes(status));
    if (!statuses.length) this.total = 0;
    else {
      const filter = { ...this.filter, statuses };
      this.total = (await request(DeliveryTotal, { filter }, signal)).deliveries.totalCount ?? VERY_MANY;
    }
  }

  override render() {
    const { total } = this;
    if (total === undefined && !this.error) return html`<p class="hidden" role="status">Counting the deliveries…</p>`;
    return html`<confirm-dialog
      heading="Cancel deliveries that wait"
      action=${total ? "Cancel them" : ""}
      .items=${total === VERY_MANY ? 10_000 : (total ?? 0)}
      danger
      .content=${this.error ? this.errorMessage() : this.contents(total ?? 0)}
      @confirm=${this.cancel}
      @close=${() => this.dispatchEvent(new Event("close"))}
    ></confirm-dialog>`;
  }

  private contents(total: number) {
    if (!total) return html`<p>No delivery that matches the filter waits.</p>`;
    return html`<p>
        <b class="figure">${total === VERY_MANY ? "More than 10,000" : count(total)}</b>
        ${total === 1 ? "delivery waits" : "deliveries wait"} and would not be sent. This cannot be undone.
      </p>
      <p class="quiet">Messages that were sent remain sent, and notifications remain in the inboxes.</p>
      ${noteField(this.note, (note) => (this.note = note))}`;
  }

  private async cancel(): Promise<void> {
    let sentence: string;
    try {
      const { cancelDeliveries } = await request(CancelMatching, { filter: this.filter, note: this.note || null });
      sentence = `${counted(cancelDeliveries, "delivery is", "deliveries are")} canceled.`;
    } catch (error) {
      sentence = toError(error).message;
    }
    this.dispatchEvent(new CustomEvent("done", { detail: sentence }));
  }
}

customElements.define("cancel-dialog", CancelDialog);
