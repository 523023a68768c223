/** The deliveries and receipts of one send, one row per user and channel, updated live. */
import { LitElement, css, html, nothing, type PropertyValues } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import { CHANNEL_ORDER, badgeOf, channelLabel, codeLabel, reasonLabel } from "./labels";
import "./send-progress";
import { Receipts, Sends, type Receipt, type SendProgress, type Sent } from "./sender-api";
import { sharedStyles } from "./shared-styles";
import { clockTime } from "./times";

/** One user and channel. `at`, `seen`, and `read` are the times of the last receipts; `at` is that of the delivery. */
interface Row {
  user: string;
  channel: string;
  status?: string;
  reason?: string | null;
  at?: string;
  /** The time at which a delivery that is held is due. */
  dueAt?: string | null;
  seen?: string;
  read?: string;
  other: Set<string>;
}

/** The rows of a large send after these are not shown. */
const ROWS_MAX = 200;
const KINDS: Record<string, string> = {
  DELIVERY: "delivery",
  SEEN: "seen",
  READ: "read",
  UNREAD: "marked as unread",
  ARCHIVED: "archived",
  ACKNOWLEDGED: "acknowledged",
  CLICKED: "clicked",
  ACTED: "acted",
};

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const time = (at: string | undefined) =>
  at ? html`<time datetime=${at}>${clock.format(new Date(at))}</time>` : html`<span class="quiet">–</span>`;
/** Only the inbox reports SEEN and READ reliably, so the cells of other channels are empty and show no dash. */
const receiptTime = (channel: string, at: string | undefined) => (at || channel === "IN_APP" ? time(at) : nothing);

export class DemoReceipts extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      section {
        padding: 18px;
      }
      .selection {
        display: flex;
        gap: 8px;
        margin-top: 10px;
      }
      label {
        flex: 1;
        min-width: 0;
        max-width: 560px;
      }
      table {
        margin-top: 8px;
        table-layout: fixed;
      }
      th .small {
        display: none;
        font-weight: 400;
      }
      thead th {
        width: 14%;
      }
      thead th:nth-child(3) {
        width: 31%;
      }
      thead th:nth-child(1) {
        width: 11%;
      }
      thead th:last-child {
        width: 16%;
      }
      @media (max-width: 640px) {
        thead th,
        thead th:nth-child(1) {
          width: 22%;
        }
        th:nth-child(2),
        td:nth-child(2),
        th:nth-child(6),
        td:nth-child(6) {
          display: none;
        }
        th .small {
          display: block;
        }
        th,
        td {
          padding-inline-end: 6px;
        }
      }
      time {
        font-variant-numeric: tabular-nums;
        white-space: nowrap;
      }
      td .small {
        display: block;
        margin-top: 2px;
      }
      .latest {
        min-height: 1.5em;
        margin: 10px 0 0;
      }
      .empty {
        margin: 14px 0 0;
        padding: 28px 16px;
        border: 1px dashed var(--edge);
        border-radius: 10px;
        text-align: center;
      }
    `,
  ];
  static override properties = {
    hub: { attribute: false },
    send: { type: String },
    sends: { state: true },
    rows: { state: true },
    last: { state: true },
    cut: { state: true },
    progress: { state: true },
    error: { state: true },
  };

  declare hub: HubConnection | undefined;
  /** The id of the displayed send, or empty for the newest send. */
  declare send: string;
  declare private sends: Sent[];
  declare private rows: ReadonlyMap<string, Row>;
  declare private last: Receipt | undefined;
  declare private cut: boolean; // true if rows are not shown
  declare private progress: SendProgress | undefined;
  declare private error: string;
  private stop = () => {};
  private receivedIds = new Set<string>();

  constructor() {
    super();
    this.send = "";
    this.sends = [];
    this.rows = new Map();
    this.cut = false;
    this.error = "";
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.stop();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!this.hub || !(changed.has("hub") || changed.has("send"))) return;
    if (!this.sends.some(({ id }) => id === this.send)) void this.load(this.hub);
    if (this.send) this.subscribe(this.hub, this.send);
  }

  private async load(hub: HubConnection): Promise<void> {
    try {
      this.sends = [...(await hub.query(Sends)).sends.nodes];
      this.send ||= this.sends[0]?.id ?? "";
    } catch (error) {
      this.error = (error as Error).message;
    }
  }

  private subscribe(hub: HubConnection, send: string): void {
    this.stop();
    this.receivedIds.clear();
    this.rows = new Map();
    this.last = this.progress = undefined;
    this.cut = false;
    this.error = "";
    let after: string | null = null;
    const variables = {
      send,
      get after() {
        return after;
      },
    };
    this.stop = hub.subscribe(Receipts, variables, {
      next: ({ receipts }) => {
        after = receipts.cursor;
        this.addReceipt(receipts);
      },
      error: (error) => (this.error = error.message),
      complete: () => {},
    });
  }

  private addReceipt(receipt: Receipt): void {
    const channel = receipt.channel ?? "IN_APP";
    const key = `${receipt.userId} ${channel}`;
    if (this.rows.size >= ROWS_MAX && !this.rows.has(key)) {
      this.cut = true;
      return;
    }
    if (this.receivedIds.has(receipt.id)) return;
    this.receivedIds.add(receipt.id);
    const row: Row = { user: receipt.userId, channel, other: new Set(), ...this.rows.get(key) };
    if (receipt.kind === "DELIVERY") {
      row.status = receipt.status ?? undefined;
      row.reason = receipt.reason;
      row.at = receipt.at;
    } else if (receipt.kind === "SEEN") row.seen = receipt.at;
    else if (receipt.kind === "READ") row.read = receipt.at;
    else if (receipt.kind === "UNREAD") row.read = undefined;
    else row.other = new Set([...row.other, [codeLabel(receipt.kind), receipt.actionKey].filter(Boolean).join(": ")]);
    this.rows = new Map(this.rows).set(key, row);
    this.last = receipt;
  }

  override render() {
    const rows = [...this.rows.values(), ...this.held()].sort(
      (a, b) => a.user.localeCompare(b.user) || CHANNEL_ORDER.indexOf(a.channel) - CHANNEL_ORDER.indexOf(b.channel),
    );
    return html`
      <section class="card" aria-labelledby="receipts">
        <h2 id="receipts">Deliveries and read receipts</h2>
        ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing}
        ${this.send
          ? html`
              <div class="selection">
                <label>
                  <span class="hidden">Send</span>
                  <select @change=${this.select}>
                    ${this.sends.map(
                      (sent) => html`<option value=${sent.id} ?selected=${sent.id === this.send}>
                          ${sendLabel(sent.id === this.send ? { ...sent, ...this.progress } : sent, this.hub!.now())}
                        </option>`,
                    )}
                  </select>
                </label>
              </div>
              <demo-send-progress
                .hub=${this.hub}
                .send=${this.send}
                .receipt=${this.last?.id}
                @progress=${(event: CustomEvent<SendProgress>) => (this.progress = event.detail)}
              ></demo-send-progress>
              <p class="latest small quiet">${this.last ? describe(this.last) : nothing}</p>
              <table aria-labelledby="receipts">
                <thead>
                  <tr>
                    <th scope="col">User</th>
                    <th scope="col">Channel</th>
                    <th scope="col">Delivery</th>
                    <th scope="col">Seen</th>
                    <th scope="col">Read</th>
                    <th scope="col">Other</th>
                  </tr>
                </thead>
                <tbody>
                  ${rows.map((row) => this.row(row))}
                </tbody>
              </table>
              ${this.cut ? html`<p class="small quiet">The first ${ROWS_MAX} rows are shown.</p>` : nothing}
            `
          : html`<p class="empty quiet">Nothing has been sent yet. Deliveries and receipts appear here live.</p>`}
      </section>
    `;
  }

  /** Return a row for each delivery that is held. Only deliveries that have ended have a receipt. */
  private held(): Row[] {
    const held = new Map<string, Row>();
    for (const { userId: user, channel, reason, dueAt } of this.progress?.deliveries.nodes ?? []) {
      const key = `${user} ${channel}`;
      if (!this.rows.has(key) && !held.has(key)) held.set(key, { user, channel, status: "HELD", reason, dueAt, other: new Set() });
    }
    return [...held.values()];
  }

  private row({ user, channel, status, reason, at, dueAt, seen, read, other }: Row) {
    return html`<tr data-user=${user} data-channel=${channel}>
      <th scope="row">${user}<span class="small quiet">${channelLabel(channel)}</span></th>
      <td>${channelLabel(channel)}</td>
      <td>
        ${status ? html`<span class="badge ${badgeOf(status)}">${codeLabel(status)}</span>` : nothing}
        <span class="small quiet">${reason && reason !== status ? reasonLabel(reason) : time(at)}</span>
        ${dueAt
          ? html`<span class="small quiet">until <time datetime=${dueAt}>${clockTime(dueAt, this.hub!.now())}</time></span>`
          : nothing}
      </td>
      <td>${receiptTime(channel, seen)}</td>
      <td>${receiptTime(channel, read)}</td>
      <td>${[...other].join(", ")}</td>
    </tr>`;
  }

  private select(event: Event): void {
    this.send = (event.target as HTMLSelectElement).value;
  }
}

function sendLabel({ title, createdAt, sendAt, recipients, status, total }: Sent, now: number): string {
  const count = status === "EXPANDING" ? (total ?? recipients) : recipients;
  const users = count === 1 ? "1 user" : `${count.toLocaleString("en")} users`;
  const at = sendAt && Date.parse(sendAt) > now ? `for ${date.format(new Date(sendAt))}` : clock.format(new Date(createdAt));
  return `${title ?? "Recalled"} · ${users} · ${at}`;
}

function describe({ kind, userId, channel, status, at }: Receipt): string {
  const event = kind === "DELIVERY" ? `${channelLabel(channel ?? "")} ${codeLabel(status ?? "").toLowerCase()}` : KINDS[kind];
  return `${clock.format(new Date(at))} · ${userId}: ${event}`;
}

customElements.define("demo-receipts", DemoReceipts);
