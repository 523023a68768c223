/** The dialog that sends all matching failed deliveries again. */
import { html, nothing } from "lit";
import { request } from "./client";
import "./confirm-dialog";
import { LoadingElement, toError } from "./element";
import { count, counted } from "./format";
import { ReplayMatching, ReplayPreview, type DeliveryFilter, type ReplayPreview as Preview } from "./operations";
import { failureOf } from "./parts";

const GROUPS_SHOWN = 10;
const PER_MINUTE_MAX = 60_000;
const NOTE_MAX_CHARS = 1_024;

/** Return the field for why deliveries are changed. */
export const noteField = (note: string, onInput: (note: string) => void) =>
  html`<label class="stacked"
    >Why, for the audit log (optional)
    <input
      type="text"
      maxlength=${NOTE_MAX_CHARS}
      autocomplete="off"
      .value=${note}
      @input=${(event: Event) => onInput((event.target as HTMLInputElement).value)}
  /></label>`;

/** Properties: `filter`. Events: `close`, and `done` with a sentence about the result. */
class ReplayDialog extends LoadingElement {
  static override properties = { filter: { attribute: false }, preview: { state: true }, note: { state: true } };

  declare filter: DeliveryFilter;
  declare private preview: Preview | undefined;
  declare private note: string;
  private perMinute: number | null = null;

  constructor() {
    super();
    this.note = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.preview = await request(ReplayPreview, { filter: this.filter }, signal);
  }

  override render() {
    const { preview } = this;
    if (!preview && !this.error) return html`<p class="hidden" role="status">Counting the deliveries…</p>`;
    const items = preview?.replayPreview.count ?? 0;
    return html`<confirm-dialog
      heading="Send failed deliveries again"
      action=${items ? `Send ${counted(items, "delivery", "deliveries")} again` : ""}
      .items=${items}
      .content=${this.error ? this.errorMessage() : preview && this.contents(preview)}
      @confirm=${this.replay}
      @close=${() => this.dispatchEvent(new Event("close"))}
    ></confirm-dialog>`;
  }

  private contents({ replayPreview: { count: items, addressGone, suppressed, alreadyRead }, deliveryGroups }: Preview) {
    if (!items && !addressGone && !suppressed) return html`<p>No failed delivery matches the filter.</p>`;
    return html`<p><b class="figure">${count(items)}</b> ${items === 1 ? "delivery" : "deliveries"} would be sent again.</p>
      <ul>
        ${deliveryGroups.slice(0, GROUPS_SHOWN).map((group) => html`<li><b>${count(group.count)}</b> ${failureOf(group)}</li>`)}
      </ul>
      ${alreadyRead
        ? html`<p>${counted(alreadyRead, "of them was", "of them were")} read in the meantime and would not be sent.</p>`
        : nothing}
      ${addressGone || suppressed
        ? html`<p class="quiet">
            Left out: ${count(addressGone)} whose address no longer exists, and ${count(suppressed)} whose address is
            suppressed. Filter by the reason ADDRESS_GONE or SUPPRESSED to include them.
          </p>`
        : nothing}
      ${items ? this.options() : nothing}`;
  }

  private options() {
    return html`<label class="stacked"
        >At most per minute (empty: as fast as possible)
        <input
          type="number"
          min="1"
          max=${PER_MINUTE_MAX}
          step="1"
          @input=${(event: Event) => (this.perMinute = (event.target as HTMLInputElement).valueAsNumber || null)}
      /></label>
      ${noteField(this.note, (note) => (this.note = note))}`;
  }

  private async replay(): Promise<void> {
    let sentence: string;
    try {
      const { replay } = await request(ReplayMatching, { filter: this.filter, perMinute: this.perMinute, note: this.note || null });
      sentence = `${counted(replay, "delivery is", "deliveries are")} being sent again.`;
    } catch (error) {
      sentence = toError(error).message;
    }
    this.dispatchEvent(new CustomEvent("done", { detail: sentence }));
  }
}

customElements.define("replay-dialog", ReplayDialog);
