/** One event: its data, the result of each rule, and replay. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { timeOf } from "../format";
import { facts, pageHeading } from "../parts";
import { may } from "../roles";
import { address } from "../router";
import { eventBadge } from "./events-page";
import { Event, ReplayEvents, type StoredEvent } from "./operations";

class EventPage extends ActingElement {
  static override properties = { itemId: {}, event: { state: true } };

  declare itemId: string;
  declare private event: StoredEvent | null | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    this.event = (await request(Event, { id: this.itemId }, signal)).event;
  }

  override render() {
    const { event } = this;
    if (!event) {
      const missing = emptyState("This event does not exist.", "Events are kept for 30 days, if the hub's settings do not say otherwise.");
      return html`${pageHeading("Event")} ${this.error ? this.errorMessage() : event === null ? missing : skeleton()}`;
    }
    return html`${pageHeading(
        html`<bdi>${event.type}</bdi>`,
        html`${eventBadge(event.status)}
          ${may("service")
            ? html`<span class="actions">
                <button type="button" ?disabled=${event.status === "RECEIVED"} @click=${this.confirmReplay}>Replay…</button>
              </span>`
            : nothing}`,
      )}
      ${event.reason ? html`<p class="notice ${event.status === "FAILED" ? "bad" : "wait"}">${event.reason}</p>` : nothing}
      ${this.feedback()} ${this.errorMessage()}
      <div class="columns">
        <div>
          <section class="card" aria-labelledby="results"><h2 id="results">Rules</h2>${this.results(event)}</section>
          <section class="card" aria-labelledby="data">
            <h2 id="data">Data</h2>
            <pre tabindex="0" aria-label="Data of the event">${JSON.stringify(event.data, null, 2)}</pre>
          </section>
        </div>
        <aside class="card" aria-labelledby="facts">
          <h2 id="facts">Details</h2>
          ${facts([
            ["Source", event.source],
            ["Id", html`<code>${event.eventId}</code>`],
            ["Subject", event.subject],
            ["Time", timeOf(event.time)],
            ["Received", timeOf(event.receivedAt)],
            ["Event", html`<code>${event.id}</code>`],
          ])}
        </aside>
      </div>`;
  }

  private results({ id, results }: StoredEvent) {
    const create = may("admin") ? html`<a href=${address("rules", "", { new: "1", event: id })}>Create one</a>` : nothing;
    if (!results.length) return html`<p class="quiet">No rule has this type of event. ${create}</p>`;
    return html`<ul class="results plain">
      ${results.map(
        ({ rule, matched, reason, send }) => html`<li>
          <b><bdi>${rule}</bdi></b>
          <span class="badge ${send ? "good" : ""}">${send ? "sent" : matched ? "matched" : "not matched"}</span>
          ${reason ? html`<span>${reason}</span>` : nothing}
          <span class="row-actions">
            ${send ? html`<a class="button plain" href=${address("sends", send.id)}>Open the send</a>` : nothing}
            <a class="button plain" href=${address("rules", rule, { event: id })}>Test<span class="hidden"> the rule ${rule}</span></a>
          </span>
        </li>`,
      )}
    </ul>`;
  }

  private readonly confirmReplay = (): void => {
    this.confirmation = {
      heading: "Run the rules again",
      content: html`<p>A rule that made a send for this event makes no other.</p>`,
      action: "Replay",
      run: async () => {
        const { replayEvents } = await request(ReplayEvents, { ids: [this.itemId] });
        return replayEvents ? "The event is being processed again." : "The rules of this event have not run yet.";
      },
    };
  };
}

customElements.define("event-page", EventPage);
