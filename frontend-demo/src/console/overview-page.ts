/** The first page: deliveries over time, why some failed, and what waits. The period is in the address. */
import { html, nothing } from "lit";
import {
  ARRIVED, channelLines, DEFAULT_PERIOD, PERIODS, spanOf, STATUS_LINES, statusLines, successRate, type Period, type Span,
} from "./activity";
import "./activity-chart";
import { request } from "./client";
import { emptyState, errorBox, LiveElement, toError } from "./element";
import type { HubError } from "../../packages/client/src/errors";
import { count, counted, percent, seconds } from "./format";
import { CHANNEL_KEYS, channelName, statusName } from "./labels";
import {
  Activity, FailureGroups, OverviewTotals, Queues,
  type ActivityBucket, type FailureGroup, type OverviewTotals as Totals, type Queues as State,
} from "./operations";
import { choice, failureList, groupParams, pageHeading } from "./parts";
import { providerTable, queueTable } from "./queue-tables";
import { address, navigate } from "./router";

const GROUPS_SHOWN = 10;
const CHANNEL_OPTIONS = [
  ["", "All channels except the inbox"] as const,
  ...CHANNEL_KEYS.map((key) => [key, channelName(key)] as const),
];
const STATUS_OPTIONS = [
  ["", "Sent or delivered"] as const,
  ...Object.keys(STATUS_LINES).map((key) => [key, statusName(key)] as const),
];

class OverviewPage extends LiveElement {
  static override properties = {
    params: { attribute: false },
    buckets: { state: true },
    totals: { state: true },
    queue: { state: true },
    groups: { state: true },
  };

  declare params: URLSearchParams;
  declare private buckets: readonly ActivityBucket[] | undefined;
  declare private totals: Totals | undefined;
  declare private queue: State | undefined;
  /** The failures, or why they cannot be grouped. */
  declare private groups: readonly FailureGroup[] | HubError | undefined;
  protected override readonly refreshMs = 15_000;
  private span: Span = { since: 0, until: 0, stepMs: 1 };

  override updated(changed: Map<string, unknown>): void {
    const before = changed.get("params") as URLSearchParams | undefined;
    if (before && before.get("range") !== this.params.get("range")) void this.reload();
  }

  private get range(): string {
    const range = this.params.get("range") ?? "";
    return Object.hasOwn(PERIODS, range) ? range : DEFAULT_PERIOD;
  }

  private get period(): Period {
    return PERIODS[this.range] as Period;
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const now = Date.now();
    const failedSince = new Date(now - this.period.ms).toISOString();
    const span = spanOf(this.period, now);
    const variables = { since: new Date(span.since).toISOString(), by: this.period.by };
    const [{ activity }, totals, queue, groups] = await Promise.all([
      request(Activity, variables, signal),
      request(OverviewTotals, { since: failedSince }, signal),
      request(Queues, undefined, signal),
      request(FailureGroups, { filter: { failedSince } }, signal).then(({ deliveryGroups }) => deliveryGroups, toError),
    ]);
    if (signal.aborted) return;
    Object.assign(this, { span, buckets: activity, totals, queue, groups });
  }

  override render() {
    return html`${pageHeading("Overview", html`${this.liveMark()} ${this.periods()}`)}
      <p class="lead">
        To see why somebody did or did not get a message, find the person by id, name, email address, or phone number.
      </p>
      ${this.errorMessage()} ${this.tiles()}
      ${this.buckets ? this.charts(this.buckets) : nothing} ${this.failures()}
      ${this.queue ? html`${queueTable(this.queue.queues)} ${providerTable(this.queue.providers)}` : nothing}`;
  }

  private periods() {
    return html`<nav class="periods actions" aria-label="Period">
      ${Object.entries(PERIODS).map(
        ([range, { name }]) =>
          html`<a href=${this.with({ range })} aria-current=${range === this.range ? "true" : nothing}>${name}</a>`,
      )}
    </nav>`;
  }

  /** Return the address of this page with another period or choice. */
  private with(changes: Record<string, string>): string {
    const kept = Object.fromEntries(["range", "channel", "status"].map((key) => [key, this.params.get(key)]));
    return address("", "", { ...kept, ...changes });
  }

  private tiles() {
    const { range } = this;
    const during = this.period.name.toLowerCase();
    const due = this.queue?.queues.filter(({ waiting }) => waiting) ?? [];
    const waiting = due.reduce((sum, one) => sum + one.waiting, 0);
    const oldest = Math.max(0, ...due.map(({ oldestSeconds }) => oldestSeconds));
    const rate = this.buckets && successRate(this.buckets, this.span);
    return html`<ul class="tiles">
      ${tile("Success rate", rate === undefined ? undefined : rate === null ? "–" : percent(rate),
        `Of what left or failed, ${during}`, address("deliveries", "", { status: "FAILED,EXPIRED", range }))}
      ${tile("Failed", figure(this.totals?.failed), `Not tried again, ${during}`,
        address("deliveries", "", { status: "FAILED", time: "failed", range }))}
      ${tile("Being retried", figure(this.totals?.retrying), "An attempt failed, another follows",
        address("deliveries", "", { status: "RETRYING" }))}
      ${tile("Held", figure(this.totals?.held), "Quiet hours, digests, steps, pauses", address("deliveries", "", { status: "HELD" }))}
      ${tile("Due now", this.queue && count(waiting), waiting ? `The oldest for ${seconds(oldest)}` : "Nothing waits for a worker", address("queue"))}
    </ul>`;
  }

  private charts(buckets: readonly ActivityBucket[]) {
    const channel = this.chosen("channel", CHANNEL_OPTIONS);
    const status = this.chosen("status", STATUS_OPTIONS);
    const { unit } = this.period;
    return html`<section class="card" aria-labelledby="by-status">
        <div class="card-heading">
          <h2 id="by-status">Deliveries by status</h2>
          ${choice("Channel", channel, CHANNEL_OPTIONS, (value) => navigate(this.with({ channel: value })))}
        </div>
        <activity-chart
          name="Deliveries by status" unit=${unit} .span=${this.span} .lines=${statusLines(buckets, this.span, channel)}
        ></activity-chart>
      </section>
      <section class="card" aria-labelledby="by-channel">
        <div class="card-heading">
          <h2 id="by-channel">Deliveries by channel</h2>
          ${choice("Status", status, STATUS_OPTIONS, (value) => navigate(this.with({ status: value })))}
        </div>
        <activity-chart
          name="Deliveries by channel" unit=${unit} .span=${this.span}
          .lines=${channelLines(buckets, this.span, status || ARRIVED)}
        ></activity-chart>
      </section>`;
  }

  private chosen(key: string, options: readonly (readonly [string, string])[]): string {
    const value = this.params.get(key) ?? "";
    return options.some(([option]) => option === value) ? value : "";
  }

  private failures() {
    const { groups } = this;
    if (!groups) return nothing;
    return html`<section class="card" aria-labelledby="failures">
      <h2 id="failures">Why deliveries failed</h2>
      ${groups instanceof Error ? errorBox(groups) : groups.length ? this.groupList(groups) : emptyState("No delivery failed.")}
    </section>`;
  }

  private groupList(groups: readonly FailureGroup[]) {
    const all = { status: "FAILED", time: "failed", range: this.range };
    return html`${failureList(groups.slice(0, GROUPS_SHOWN), (group) => address("deliveries", "", { ...all, ...groupParams(group) }))}
      ${groups.length > GROUPS_SHOWN
        ? html`<p><a href=${address("deliveries", "", all)}>${counted(groups.length - GROUPS_SHOWN, "more cause", "more causes")}</a></p>`
        : nothing}`;
  }
}

/** Return a number that links to what it counts. */
const tile = (label: string, value: string | undefined, text: string, to: string) =>
  html`<li class="card tile" data-row>
    <a data-main href=${to}>${label}</a>
    <span class="figure">${value ?? html`<span class="quiet">–</span>`}</span>
    <span class="quiet small">${text}</span>
  </li>`;

function figure(counted: { totalCount: number | null } | undefined): string | undefined {
  if (!counted) return undefined;
  return counted.totalCount === null ? "10,000+" : count(counted.totalCount);
}

customElements.define("overview-page", OverviewPage);
