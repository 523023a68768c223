/** The list of deliveries to external providers: filters, live refresh, replay, and CSV. */
import { html, nothing } from "lit";
import { HubError } from "../../packages/client/src/errors";
import { request } from "./client";
import { CSV_MAX_ROWS, download, readCsv } from "./delivery-csv";
import { FILTER_KEYS, isFiltered, toFilter } from "./delivery-filter";
import "./cancel-dialog";
import "./delivery-batches";
import "./delivery-facets";
import "./delivery-filters";
import { emptyState, skeleton, toError } from "./element";
import { count, counted, timeOf } from "./format";
import { ListPage } from "./list-page";
import { Deliveries, DeliveryTotal, type DeliveryFilter, type DeliveryRow } from "./operations";
import { pageHeading, statusBadge, userLink } from "./parts";
import { channelName, toneOf } from "./labels";
import "./replay-dialog";
import { may, titleOf } from "./roles";
import { address } from "./router";

const PAGE_SIZE = 50;

class DeliveriesPage extends ListPage<DeliveryRow> {
  static override properties = {
    total: { state: true },
    replaying: { state: true },
    cancelling: { state: true },
    exported: { state: true },
  };

  protected override readonly refreshMs = 5_000;
  /** Undefined while it is being counted, null if there are too many. */
  declare private total: number | null | undefined;
  declare private replaying: boolean;
  declare private cancelling: boolean;
  /** The number of rows that the export has read, or undefined. */
  declare private exported: number | undefined;
  private filter: DeliveryFilter = {};
  private exporting: AbortController | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.exporting?.abort();
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.filter = toFilter(this.params, Date.now());
    const [{ deliveries }] = await Promise.all([
      request(Deliveries, { filter: this.filter, first: PAGE_SIZE, after: this.cursor }, signal),
      this.countAll(signal),
    ]);
    this.show(deliveries);
  }

  private async countAll(signal: AbortSignal): Promise<void> {
    this.total = (await request(DeliveryTotal, { filter: this.filter }, signal)).deliveries.totalCount;
  }

  override render() {
    return html`${pageHeading("Deliveries", this.actions())}
      <delivery-filters .params=${this.params}></delivery-filters>
      ${this.feedback()}
      <delivery-batches></delivery-batches>
      <div class="columns facets">
        <div>${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(10)}</div>
        <delivery-facets .params=${this.params}></delivery-facets>
      </div>
      ${this.replaying
        ? html`<replay-dialog
            .filter=${this.filter}
            @done=${(event: CustomEvent<string>) => (this.message = event.detail)}
            @close=${() => (this.replaying = false)}
          ></replay-dialog>`
        : nothing}
      ${this.cancelling
        ? html`<cancel-dialog
            .filter=${this.filter}
            @done=${(event: CustomEvent<string>) => (this.message = event.detail)}
            @close=${() => (this.cancelling = false)}
          ></cancel-dialog>`
        : nothing}`;
  }

  private actions() {
    const total = this.total === undefined ? "" : this.total === null ? "more than 10,000" : count(this.total);
    return html`<span class="total quiet">${total}</span>
      ${this.liveMark()}
      <span class="actions">
        ${this.exported === undefined
          ? html`<button type="button" @click=${this.export}>Export CSV</button>`
          : html`<button type="button" @click=${() => this.exporting?.abort()}>Stop (${count(this.exported)} rows)</button>`}
        ${may("operator")
          ? html`<button type="button" ?disabled=${!isFiltered(this.params)} @click=${() => (this.replaying = true)}>
                Replay all that match…
              </button>
              <button type="button" ?disabled=${!isFiltered(this.params)} @click=${() => (this.cancelling = true)}>
                Cancel all that match…
              </button>`
          : nothing}
      </span>`;
  }

  private table(rows: readonly DeliveryRow[]) {
    if (!rows.length)
      return isFiltered(this.params)
        ? emptyState("No delivery matches the filter.", "Deliveries in the inbox are on the page of each person.")
        : emptyState("There are no deliveries yet.", "They appear here when something is sent by email, SMS, push, or chat.");
    return html`<table class="rows">
        <caption class="hidden">Deliveries, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th><th scope="col">Status</th><th scope="col">Channel</th><th scope="col">Person</th>
            <th scope="col">Notification</th><th scope="col">Explanation</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map((row) => this.row(row))}
        </tbody>
      </table>
      ${this.paging()}`;
  }

  private row(row: DeliveryRow) {
    const title = row.itemCount ? `Digest of ${count(row.itemCount)}` : titleOf(row.notification?.title);
    return html`<tr data-row>
      <td class="when">${timeOf(row.createdAt)}</td>
      <td>${statusBadge(row.status)}</td>
      <td>${channelName(row.channel)}</td>
      <td class="person">${userLink(row.userId)}</td>
      <td class="title"><a data-main href=${address("deliveries", row.id)}><bdi>${title}</bdi></a></td>
      <td class="why">${explanationOf(row)}</td>
    </tr>`;
  }

  protected filtered(changes: Record<string, string | null>): string {
    const kept = Object.fromEntries(FILTER_KEYS.map((key) => [key, this.params.get(key)]));
    return address("deliveries", "", { ...kept, ...changes });
  }

  private async export(): Promise<void> {
    this.exporting = new AbortController();
    this.exported = 0;
    this.message = "";
    try {
      const { file, rows, complete } = await readCsv(this.filter, this.exporting.signal, (read) => (this.exported = read));
      download(file, `deliveries-${new Date().toISOString().slice(0, 16).replaceAll(":", "")}.csv`);
      this.message = complete
        ? `Exported ${counted(rows, "row", "rows")}.`
        : `Exported the newest ${count(rows)} rows. An export has at most ${count(CSV_MAX_ROWS)}: choose a shorter time.`;
    } catch (error) {
      this.message = this.exporting.signal.aborted ? "The export was stopped." : toError(error as HubError).message;
    }
    this.exported = undefined;
  }
}

/** Return the cause of a status. Of what arrived, the provider and the time that its call took. */
function explanationOf({ status, explanation, attempts }: DeliveryRow) {
  const last = attempts.at(-1);
  if (toneOf(status) === "good" && !last?.error)
    return last ? html`<span class="quiet">with ${last.provider}, ${last.durationMs} ms</span>` : nothing;
  const error = last?.error ? html`<span class="quiet small">${last.provider}: ${last.error}</span>` : nothing;
  return html`${explanation}${error}`;
}

customElements.define("deliveries-page", DeliveriesPage);
