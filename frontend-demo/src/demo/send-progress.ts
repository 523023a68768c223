/** The progress of one send: its status, its deliveries by channel, and what is held until when, updated live. */
import { LitElement, css, html, nothing, svg, type PropertyValues } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import { CHANNEL_ORDER, badgeOf, channelLabel, codeLabel, reasonLabel } from "./labels";
import { Pause, Progress, Recall, Resume, type SendProgress } from "./sender-api";
import { sharedStyles } from "./shared-styles";
import { clockTime } from "./times";

/** At most one announcement in this time. A screen reader can then finish the last one. */
const ANNOUNCE_EVERY_MS = 5_000;
const REFRESH_AFTER_MS = 1_000;

type Count = SendProgress["counts"][number];
/** A part of a bar. */
type Portion = { status: string; count: number };

/** Dispatches `progress` with each state of the send. */
export class DemoSendProgress extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        margin-top: 12px;
      }
      .row {
        min-height: 38px;
      }
      .row span:last-of-type {
        flex: 1;
      }
      table {
        margin-top: 4px;
        table-layout: fixed;
      }
      th {
        width: 112px;
        font-size: 0.875rem;
      }
      td {
        padding-inline-end: 0;
      }
      svg {
        display: block;
        width: 100%;
        height: 6px;
        margin-block: 4px 8px;
        border-radius: 3px;
        background: var(--sunk);
      }
      rect {
        fill: var(--edge);
      }
      rect.good {
        fill: var(--good);
      }
      rect.wait {
        fill: var(--wait);
      }
      rect.bad {
        fill: var(--bad);
      }
      .badges {
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
      }
      .held {
        margin: 6px 0 0;
      }
      time {
        font-variant-numeric: tabular-nums;
      }
    `,
  ];
  static override properties = {
    hub: { attribute: false },
    send: { type: String },
    receipt: { type: String },
    progress: { state: true },
    announcement: { state: true },
    error: { state: true },
  };

  declare hub: HubConnection | undefined;
  /** The id of the send. */
  declare send: string;
  /** The id of its last receipt. A receipt after the end, such as that of a read, shows the send again. */
  declare receipt: string | undefined;
  declare private progress: SendProgress | undefined;
  declare private announcement: string;
  declare private error: string;
  private ended = true;
  private stop = () => {};
  private announceTimer: ReturnType<typeof setTimeout> | undefined;
  private refreshTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.announcement = "";
    this.error = "";
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.reset();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!this.hub || !this.send) return;
    if (changed.has("hub") || changed.has("send")) {
      this.reset();
      this.subscribe();
    } else if (changed.has("receipt") && this.receipt && this.ended) {
      this.refreshTimer ??= setTimeout(() => this.subscribe(), REFRESH_AFTER_MS);
    }
  }

  private reset(): void {
    this.stop();
    clearTimeout(this.announceTimer);
    clearTimeout(this.refreshTimer);
    this.announceTimer = this.refreshTimer = undefined;
    this.progress = undefined;
    this.announcement = this.error = "";
  }

  private subscribe(): void {
    this.stop();
    this.refreshTimer = undefined;
    this.ended = false;
    this.stop = this.hub!.subscribe(
      Progress,
      { send: this.send },
      {
        next: ({ send }) => {
          this.progress = send;
          this.dispatchEvent(new CustomEvent("progress", { detail: send }));
          this.announceTimer ??= setTimeout(() => this.announce(), this.announcement ? ANNOUNCE_EVERY_MS : 0);
        },
        error: (error) => (this.error = error.message),
        complete: () => {
          this.ended = true;
          this.announce();
        },
      },
    );
  }

  private announce(): void {
    clearTimeout(this.announceTimer);
    this.announceTimer = undefined;
    if (this.progress) this.announcement = summary(this.progress);
  }

  override render() {
    if (this.error) return html`<p class="error small" role="alert">${this.error}</p>`;
    const { progress } = this;
    return html`
      <p class="hidden" role="status">${this.announcement}</p>
      ${progress ? this.details(progress) : nothing}
    `;
  }

  private details(progress: SendProgress) {
    const { status, reason, pausedReason, recipients, total, remaining, counts } = progress;
    const channels = [...new Set(counts.map(({ channel }) => channel))].sort(
      (a, b) => CHANNEL_ORDER.indexOf(a) - CHANNEL_ORDER.indexOf(b),
    );
    return html`
      <div class="row">
        <span class="badge ${SEND_BADGES[status] ?? ""}">${codeLabel(status)}</span>
        <span class="small quiet">
          ${[
            recipientsText(progress),
            this.when(progress),
            pausedReason ?? (reason === "ENRICHMENT" ? ENRICHMENT_FAILED : reason && reasonLabel(reason)),
            remaining && `${remaining.toLocaleString("en")} still to change`,
          ]
            .filter(Boolean)
            .join(" · ")}
        </span>
        ${status === "PAUSED"
          ? html`<button type="button" @click=${() => this.change(Resume)}>Resume</button>`
          : PAUSABLE.includes(status) && (status !== "ACCEPTED" || waitingOf(counts))
            ? html`<button type="button" @click=${() => this.change(Pause)}>Pause</button>`
            : nothing}
        <button type="button" ?disabled=${status === "RECALLED"} @click=${() => this.change(Recall)}>
          ${status === "RECALLED" ? "Recalled" : "Recall"}
        </button>
      </div>
      ${total && expands(progress)
        ? bar([
            { status: "SENT", count: recipients },
            { status: "", count: total - recipients },
          ])
        : nothing}
      ${channels.length
        ? html`<table aria-label="Deliveries by channel">
            <tbody>
              ${channels.map((channel) => channelRow(channel, counts.filter((count) => count.channel === channel)))}
            </tbody>
          </table>`
        : nothing}
      ${this.held(progress)}
    `;
  }

  private when({ status, sendAt }: SendProgress): string {
    if (status === "PREPARING") return "waits for the enrichment of its category";
    return status === "SCHEDULED" && sendAt ? `for ${clockTime(sendAt, this.hub!.now())}` : "";
  }

  private held({ deliveries }: SendProgress) {
    const lines = new Map<string, { count: number; what: string; dueAt: string | null }>();
    for (const { channel, reason, dueAt } of deliveries.nodes) {
      const what = `${channelLabel(channel)}${reason ? ` (${reasonLabel(reason)})` : ""}`;
      const key = `${what} ${dueAt?.slice(0, "2027-01-15T08:00".length)}`;
      const line = lines.get(key);
      lines.set(key, { count: (line?.count ?? 0) + 1, what, dueAt });
    }
    const dueFirst = [...lines.values()].sort((a, b) => (a.dueAt ?? "").localeCompare(b.dueAt ?? ""));
    return dueFirst.map(
      ({ count, what, dueAt }) => html`<p class="held small quiet">
        ${count} held${dueAt
          ? html` until <time datetime=${dueAt}>${clockTime(dueAt, this.hub!.now())}</time>`
          : nothing}: ${what}
      </p>`,
    );
  }

  private async change(mutation: typeof Pause | typeof Resume | typeof Recall): Promise<void> {
    try {
      await this.hub!.mutate(mutation as typeof Recall, { id: this.send });
      if (this.ended) this.subscribe();
    } catch (error) {
      this.error = (error as Error).message;
    }
  }
}

const PAUSABLE = ["SCHEDULED", "PREPARING", "EXPANDING", "ACCEPTED"];
const ENRICHMENT_FAILED = "The enrichment of its category failed";
const SEND_BADGES: Record<string, string> = {
  ACCEPTED: "good",
  SCHEDULED: "wait",
  PREPARING: "wait",
  EXPANDING: "wait",
  PAUSED: "wait",
  EXPIRED: "bad",
  FAILED: "bad",
};

function channelRow(channel: string, counts: readonly Count[]) {
  return html`<tr data-progress=${channel}>
    <th scope="row">${channelLabel(channel)}</th>
    <td>
      ${bar(counts)}
      <div class="badges">
        ${counts.map(
          ({ status, count }) => html`<span class="badge ${badgeOf(status)}">${count} ${codeLabel(status).toLowerCase()}</span>`,
        )}
      </div>
    </td>
  </tr>`;
}

function bar(counts: readonly Portion[]) {
  const total = sum(counts);
  let x = 0;
  return html`<svg viewBox="0 0 ${total} 1" preserveAspectRatio="none" aria-hidden="true">
    ${counts.map(({ status, count }) => {
      const start = x;
      x += count;
      return svg`<rect class=${badgeOf(status)} x=${start} width=${count} height="1" />`;
    })}
  </svg>`;
}

/** Return the announcement of a state. */
function summary(progress: SendProgress): string {
  const { status, counts } = progress;
  const total = sum(counts);
  const waiting = waitingOf(counts);
  const failed = sum(counts.filter((count) => count.status === "FAILED"));
  const parts = [`${codeLabel(status)}, ${recipientsText(progress)}.`];
  if (total) parts.push(waiting ? `${waiting} of ${total} deliveries wait.` : "No delivery waits.");
  if (failed) parts.push(`${failed} failed.`);
  return parts.join(" ");
}

/** Return true if the send has not reached all its recipients. */
const expands = ({ status, recipients, total }: SendProgress): boolean =>
  status === "EXPANDING" || (total !== null && recipients < total);

function recipientsText(progress: SendProgress): string {
  const { recipients, total } = progress;
  if (total && expands(progress)) return `${recipients.toLocaleString("en")} of ${total.toLocaleString("en")} recipients`;
  return recipients === 1 ? "1 recipient" : `${recipients.toLocaleString("en")} recipients`;
}

function waitingOf(counts: readonly Count[]): number {
  return sum(counts.filter(({ status }) => badgeOf(status) === "wait"));
}

function sum(counts: readonly Portion[]): number {
  return counts.reduce((total, { count }) => total + count, 0);
}

customElements.define("demo-send-progress", DemoSendProgress);
