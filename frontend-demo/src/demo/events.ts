/** A form that publishes an event, and the newest events with the results of their rules. */
import { LitElement, css, html, nothing } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import { Events, PublishEvent, type EventRow } from "./sender-api";
import { sharedStyles } from "./shared-styles";
import { objectOf } from "./template-data";
import { clockTime } from "./times";

const REFRESH_MS = 2000;
const BADGES: Record<EventRow["status"], string> = { RECEIVED: "wait", PROCESSED: "good", UNMATCHED: "", FAILED: "bad" };
const EXAMPLE = { type: "com.example.order.shipped", data: '{ "order": 7, "user": "alice" }' };

class DemoEvents extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        padding: 0 18px 18px;
      }
      form {
        display: grid;
        grid-template-columns: 1fr 2fr auto;
        gap: 10px;
        align-items: end;
        margin-bottom: 14px;
      }
      .code {
        font-family: ui-monospace, monospace;
      }
      .table {
        overflow-x: auto;
      }
      @media (max-width: 640px) {
        form {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];
  static override properties = {
    hub: { attribute: false },
    rows: { state: true },
    error: { state: true },
  };

  declare hub: HubConnection | undefined;
  declare private rows: EventRow[] | undefined;
  declare private error: string;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.error = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => void this.load(), REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  protected override firstUpdated(): void {
    void this.load();
  }

  override render() {
    return html`
      <form @submit=${this.publish}>
        <label class="small">Type <input name="type" required autocomplete="off" .defaultValue=${EXAMPLE.type} /></label>
        <label class="small"
          >Data <input name="data" class="code" autocomplete="off" spellcheck="false" .defaultValue=${EXAMPLE.data}
        /></label>
        <button class="main">Publish event</button>
      </form>
      ${this.error ? html`<p class="error" role="alert">${this.error}</p>` : nothing}
      ${this.rows?.length ? this.table(this.rows) : html`<p class="small quiet">${this.rows ? "No events yet." : "Loading…"}</p>`}
    `;
  }

  private table(rows: readonly EventRow[]) {
    const now = this.hub?.now() ?? Date.now();
    return html`<div class="table" tabindex="0" role="region" aria-label="Newest events">
      <table>
        <thead>
          <tr>
            <th scope="col">Received</th>
            <th scope="col">Type</th>
            <th scope="col">Status</th>
            <th scope="col">Rules</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr>
              <td>${clockTime(row.receivedAt, now)}</td>
              <th scope="row">${row.type}</th>
              <td><span class="badge ${BADGES[row.status]}">${row.status}</span> <span class="small quiet">${row.reason}</span></td>
              <td class="small">
                ${row.results.map(
                  ({ rule, reason, send }) => html`<div>${rule}: ${send ? (send.title ?? "sent") : (reason ?? "matched")}</div>`,
                )}
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  private async load(): Promise<void> {
    if (!this.hub) return;
    try {
      this.rows = (await this.hub.query(Events, {})).events.nodes;
    } catch {
      // the connection shows its own state, and the next round tries again
    }
  }

  private async publish(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    try {
      const data = objectOf(String(given.get("data")), "data");
      await this.hub!.mutate(PublishEvent, { input: { source: "demo-page", type: String(given.get("type")), data } });
      this.error = "";
    } catch (error) {
      this.error = (error as Error).message;
    }
    await this.load();
  }
}

customElements.define("demo-events", DemoEvents);
