/** The log of events, newest first, with what the rules made of them. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { counted, timeOf } from "../format";
import { ListPage } from "../list-page";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { Events, ReplayEvents, type EventRow, type EventStatus } from "./operations";

const PAGE_SIZE = 50;
const FIELDS = { type: "Type", source: "Source" } as const;

/** The statuses of events: a label, and a tone. */
export const EVENT_STATUSES: Record<EventStatus, readonly [label: string, tone: string]> = {
  RECEIVED: ["Waiting", "wait"],
  PROCESSED: ["Processed", "good"],
  UNMATCHED: ["No rule matched", "quiet"],
  FAILED: ["Failed", "bad"],
};

class EventsPage extends ListPage<EventRow> {
  protected override readonly refreshMs = 5_000;

  protected async load(signal: AbortSignal): Promise<void> {
    const { params } = this;
    const status = params.get("status") ?? "";
    const type = params.get("type");
    const filter = {
      types: type ? [type] : null,
      source: params.get("source"),
      statuses: Object.hasOwn(EVENT_STATUSES, status) ? [status as EventStatus] : null,
    };
    this.show((await request(Events, { filter, first: PAGE_SIZE, after: this.cursor }, signal)).events);
  }

  protected filtered(changes: Record<string, string | null>): string {
    const { params } = this;
    return address("events", "", { status: params.get("status"), type: params.get("type"), source: params.get("source"), ...changes });
  }

  override render() {
    const status = this.params.get("status") ?? "";
    const failed = (this.rows ?? []).filter((row) => row.status === "FAILED");
    return html`${pageHeading("Events", this.liveMark())}
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        <label class="field ${status ? "chosen" : ""}"><span class="hidden">Status</span>
          <select @change=${(event: Event) => navigate(this.filtered({ status: (event.target as HTMLSelectElement).value }))}>
            <option value="">Any status</option>
            ${Object.entries(EVENT_STATUSES).map(([key, [label]]) => html`<option value=${key} ?selected=${key === status}>${label}</option>`)}
          </select></label>
        ${(Object.keys(FIELDS) as (keyof typeof FIELDS)[]).map((field) => {
          const value = this.params.get(field) ?? "";
          return html`<label class="field ${value ? "chosen" : ""}"><span class="hidden">${FIELDS[field]}</span>
            <input type="text" placeholder=${FIELDS[field]} autocomplete="off" spellcheck="false" .value=${value}
              @change=${(event: Event) => navigate(this.filtered({ [field]: (event.target as HTMLInputElement).value.trim() }))} /></label>`;
        })}
        ${failed.length && may("service")
          ? html`<button type="button" @click=${() => this.confirmReplay(failed)}>Replay ${counted(failed.length, "failed event", "failed events")}…</button>`
          : nothing}
      </form>
      ${this.feedback()}
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(8)}`;
  }

  private table(rows: readonly EventRow[]) {
    if (!rows.length) return emptyState("No event matches.", "Your systems publish events with POST /events or the mutation publishEvent.");
    return html`<table class="rows">
        <caption class="hidden">Events, newest first</caption>
        <thead>
          <tr><th scope="col">Time</th><th scope="col">Event</th><th scope="col">Status</th><th scope="col">Subject</th><th scope="col">Rules</th></tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr data-row>
              <td class="when">${timeOf(row.receivedAt)}</td>
              <td class="title"><a data-main href=${address("events", row.id)}><bdi>${row.type}</bdi></a>
                <span class="quiet small under"><bdi>${row.source}</bdi></span></td>
              <td>${eventBadge(row.status)}</td>
              <td class="person"><bdi>${row.subject ?? ""}</bdi></td>
              <td class="why">${row.reason ?? rulesOf(row)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging()}`;
  }

  private confirmReplay(events: readonly EventRow[]): void {
    this.confirmation = {
      heading: "Run the rules again",
      content: html`<p>For the ${counted(events.length, "failed event", "failed events")} of this page. A rule that made a send for an event makes no other.</p>`,
      action: `Replay ${counted(events.length, "event", "events")}`,
      run: async () => {
        const { replayEvents } = await request(ReplayEvents, { ids: events.map(({ id }) => id) });
        return `${counted(replayEvents, "event is", "events are")} being processed again.`;
      },
    };
  }
}

/** Return the badge of the status of an event. */
export const eventBadge = (status: EventStatus) =>
  html`<span class="badge ${EVENT_STATUSES[status]?.[1]}">${EVENT_STATUSES[status]?.[0] ?? status}</span>`;

function rulesOf({ results }: EventRow) {
  const matched = results.filter((result) => result.matched);
  return matched.length ? matched.map(({ rule }) => rule).join(", ") : html`<span class="quiet">none</span>`;
}

customElements.define("events-page", EventsPage);
