/** What became of a send, person by person and channel by channel, as the receipts come in. */
import { LitElement, css, html, nothing, type PropertyValues } from "lit";
import type { Hub } from "../hub/connection";
import { look } from "./look";
import { CHANNEL_ORDER, channelName, reasonText, statusName } from "./names";
import { Recall, Receipts, Sends, type Receipt, type Sent } from "./service";

/** One person on one channel. The instants are those of the last receipt of their kind; `at` is the delivery's. */
interface Row {
  user: string;
  channel: string;
  status?: string;
  reason?: string | null;
  at?: string;
  seen?: string;
  read?: string;
  more: Set<string>;
}

const KINDS: Record<string, string> = {
  DELIVERY: "delivery",
  SEEN: "saw it",
  READ: "read it",
  UNREAD: "marked it unread",
  ARCHIVED: "archived it",
  ACKNOWLEDGED: "confirmed it",
  CLICKED: "clicked it",
};
const LOOKS: Record<string, string[]> = {
  good: ["SENT", "DELIVERED", "READ"],
  wait: ["ACCEPTED", "HELD", "PROCESSING", "RETRYING"],
  bad: ["FAILED"],
};

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const time = (at: string | undefined) =>
  at ? html`<time datetime=${at}>${clock.format(new Date(at))}</time>` : html`<span class="quiet">–</span>`;
/** Of other channels than the inbox a click is all that is heard: a dash would say that nobody looked. */
const mark = (channel: string, at: string | undefined) => (at || channel === "IN_APP" ? time(at) : nothing);

export class DemoReceipts extends LitElement {
  static override styles = [
    look,
    css`
      section {
        padding: 18px;
      }
      .picked {
        display: flex;
        gap: 8px;
        margin-top: 10px;
      }
      label {
        flex: 1;
        min-width: 0;
        max-width: 560px;
      }
      .hidden {
        position: absolute;
        width: 1px;
        height: 1px;
        overflow: hidden;
        clip-path: inset(50%);
        white-space: nowrap;
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
        width: 36%;
      }
      thead th:nth-child(1),
      thead th:last-child {
        width: 11%;
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
      .said {
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
    fault: { state: true },
  };

  declare hub: Hub | undefined;
  /** The id of the send to watch; empty for the newest. */
  declare send: string;
  declare private sends: Sent[];
  declare private rows: ReadonlyMap<string, Row>;
  declare private last: Receipt | undefined;
  declare private fault: string;
  private stop = () => {};
  private known = new Set<string>();

  constructor() {
    super();
    this.send = "";
    this.sends = [];
    this.rows = new Map();
    this.fault = "";
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.stop();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!this.hub || !(changed.has("hub") || changed.has("send"))) return;
    if (!this.sends.some(({ id }) => id === this.send)) void this.load(this.hub);
    if (this.send) this.watch(this.hub, this.send);
  }

  private async load(hub: Hub): Promise<void> {
    try {
      this.sends = [...(await hub.query(Sends)).sends.nodes];
      this.send ||= this.sends[0]?.id ?? "";
    } catch (error) {
      this.fault = (error as Error).message;
    }
  }

  private watch(hub: Hub, send: string): void {
    this.stop();
    this.known.clear();
    this.rows = new Map();
    this.last = undefined;
    this.fault = "";
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
        this.take(receipts);
      },
      error: (error) => (this.fault = error.message),
      complete: () => {},
    });
  }

  private take(receipt: Receipt): void {
    if (this.known.has(receipt.id)) return;
    this.known.add(receipt.id);
    const channel = receipt.channel ?? "IN_APP";
    const key = `${receipt.userId} ${channel}`;
    const row: Row = { user: receipt.userId, channel, more: new Set(), ...this.rows.get(key) };
    if (receipt.kind === "DELIVERY") {
      row.status = receipt.status ?? undefined;
      row.reason = receipt.reason;
      row.at = receipt.at;
    } else if (receipt.kind === "SEEN") row.seen = receipt.at;
    else if (receipt.kind === "READ") row.read = receipt.at;
    else if (receipt.kind === "UNREAD") row.read = undefined;
    else row.more = new Set([...row.more, statusName(receipt.kind)]);
    this.rows = new Map(this.rows).set(key, row);
    this.last = receipt;
  }

  override render() {
    const rows = [...this.rows.values()].sort(
      (a, b) => a.user.localeCompare(b.user) || CHANNEL_ORDER.indexOf(a.channel) - CHANNEL_ORDER.indexOf(b.channel),
    );
    const sent = this.sends.find(({ id }) => id === this.send);
    return html`
      <section class="card" aria-labelledby="receipts">
        <h2 id="receipts">Deliveries and read receipts</h2>
        ${this.fault ? html`<p class="fault small" role="alert">${this.fault}</p>` : nothing}
        ${this.send
          ? html`
              <div class="picked">
                <label>
                  <span class="hidden">Send</span>
                  <select @change=${this.pick}>
                    ${this.sends.map(
                      (one) => html`<option value=${one.id} ?selected=${one.id === this.send}>${titleOf(one)}</option>`,
                    )}
                  </select>
                </label>
                <button type="button" ?disabled=${!sent || sent.status === "RECALLED"} @click=${this.recall}>
                  ${sent?.status === "RECALLED" ? "Recalled" : "Recall"}
                </button>
              </div>
              <p class="said small quiet" role="status">${this.last ? told(this.last) : "Waiting for receipts …"}</p>
              <table aria-labelledby="receipts">
                <thead>
                  <tr>
                    <th scope="col">Person</th>
                    <th scope="col">Channel</th>
                    <th scope="col">Delivery</th>
                    <th scope="col">Seen</th>
                    <th scope="col">Read</th>
                    <th scope="col">Also</th>
                  </tr>
                </thead>
                <tbody>
                  ${rows.map((row) => this.row(row))}
                </tbody>
              </table>
            `
          : html`<p class="empty quiet">Nothing has been sent yet. What you send shows up here, live.</p>`}
      </section>
    `;
  }

  private row({ user, channel, status, reason, at, seen, read, more }: Row) {
    const kind = Object.keys(LOOKS).find((look) => LOOKS[look]?.includes(status ?? "")) ?? "";
    return html`<tr data-user=${user} data-channel=${channel}>
      <th scope="row">${user}<span class="small quiet">${channelName(channel)}</span></th>
      <td>${channelName(channel)}</td>
      <td>
        ${status ? html`<span class="badge ${kind}">${statusName(status)}</span>` : nothing}
        <span class="small quiet">${reason && reason !== status ? reasonText(reason) : time(at)}</span>
      </td>
      <td>${mark(channel, seen)}</td>
      <td>${mark(channel, read)}</td>
      <td>${[...more].join(", ")}</td>
    </tr>`;
  }

  private pick(event: Event): void {
    this.send = (event.target as HTMLSelectElement).value;
  }

  private async recall(): Promise<void> {
    const id = this.send;
    try {
      const { status } = (await this.hub!.mutate(Recall, { id })).recallSend;
      this.sends = this.sends.map((sent) => (sent.id === id ? { ...sent, status } : sent));
    } catch (error) {
      this.fault = (error as Error).message;
    }
  }
}

function titleOf({ notifications, createdAt, recipients }: Sent): string {
  const people = recipients === 1 ? "1 person" : `${recipients} people`;
  return `${notifications.nodes[0]?.title ?? "Sent"} · ${people} · ${clock.format(new Date(createdAt))}`;
}

function told({ kind, userId, channel, status, at }: Receipt): string {
  const what = kind === "DELIVERY" ? `${channelName(channel ?? "")} ${statusName(status ?? "").toLowerCase()}` : KINDS[kind];
  return `${clock.format(new Date(at))} · ${userId}: ${what}`;
}

customElements.define("demo-receipts", DemoReceipts);
