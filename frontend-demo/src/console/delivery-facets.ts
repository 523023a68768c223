/** What is next to the list of deliveries: what is filtered over time, and why deliveries failed. */
import { html, nothing } from "lit";
import type { HubError } from "../../packages/client/src/errors";
import { periodOf, STATUS_LINES, statusLines, type Period, type Span } from "./activity";
import "./activity-chart";
import { request } from "./client";
import { filtered, listOf, toFilter } from "./delivery-filter";
import { emptyState, errorBox, LiveElement, toError } from "./element";
import { Activity, FailureGroups, type ActivityBucket, type FailureGroup } from "./operations";
import { failureList, groupParams } from "./parts";

const DAY_MS = 86_400_000;
const REPLAYABLE = ["FAILED", "RETRYING"];
/** The conditions that the counts over time do not have. */
const UNCOUNTED = ["reason", "provider", "user", "send", "error"];

/** Properties: `params`. */
class DeliveryFacets extends LiveElement {
  static override properties = {
    params: { attribute: false },
    buckets: { state: true },
    groups: { state: true },
  };

  declare params: URLSearchParams;
  /** Null if the filter has other conditions than the counts. */
  declare private buckets: readonly ActivityBucket[] | null | undefined;
  /** The failures, or why they cannot be grouped. Null if the filter selects no failures. */
  declare private groups: readonly FailureGroup[] | HubError | null | undefined;
  protected override readonly refreshMs = 15_000;
  private period: (Period & { span: Span }) | undefined;

  override updated(changed: Map<string, unknown>): void {
    if (changed.get("params")) void this.reload();
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const filter = toFilter(this.params, Date.now());
    const statuses = listOf(this.params, "status");
    const failures = !statuses.length || statuses.some((status) => REPLAYABLE.includes(status));
    const [buckets, groups] = await Promise.all([
      this.readBuckets(filter, statuses, signal),
      failures ? request(FailureGroups, { filter }, signal).then(({ deliveryGroups }) => deliveryGroups, toError) : null,
    ]);
    if (!signal.aborted) Object.assign(this, { buckets, groups });
  }

  private async readBuckets(filter: ReturnType<typeof toFilter>, statuses: readonly string[], signal: AbortSignal) {
    const counted = !statuses.length || statuses.some((status) => status in STATUS_LINES);
    if (!counted || UNCOUNTED.some((key) => this.params.get(key))) return null;
    const until = Date.parse(filter.until ?? filter.failedUntil ?? "") || Date.now();
    const since = Date.parse(filter.since ?? filter.failedSince ?? "") || until - DAY_MS;
    if (since >= until) return null;
    const { span, by } = (this.period = periodOf(since, until));
    const times = { since: new Date(span.since).toISOString(), until: new Date(span.until).toISOString() };
    const found = await request(Activity, { ...times, by, category: filter.category ?? null }, signal);
    return found.activity.filter(({ status }) => !statuses.length || statuses.includes(status));
  }

  override render() {
    return html`<aside aria-label="About these deliveries">
      ${this.error ? this.errorMessage() : nothing}
      ${this.buckets && this.period ? this.histogram(this.buckets, this.period) : nothing}
      ${this.groups ? this.failures(this.groups) : nothing}
    </aside>`;
  }

  private histogram(buckets: readonly ActivityBucket[], { span, unit }: Period & { span: Span }) {
    const filter = { category: this.params.get("category") };
    const anyTime = !this.params.get("range") && !this.params.get("since");
    return html`<section class="card" aria-labelledby="over-time">
      <h2 id="over-time">Over time${anyTime ? ", last 24 hours" : ""}</h2>
      <activity-chart
        name="Deliveries by status" unit=${unit} height="150" .span=${span}
        .lines=${statusLines(buckets, span, this.params.get("channel") ?? "", filter)}
      ></activity-chart>
    </section>`;
  }

  private failures(groups: readonly FailureGroup[] | HubError) {
    const status = this.params.get("status") ?? "FAILED";
    const to = (group: FailureGroup) => filtered(this.params, { status, ...groupParams(group) });
    return html`<section class="card" aria-labelledby="causes">
      <h2 id="causes">Why they failed</h2>
      ${groups instanceof Error ? errorBox(groups) : groups.length ? failureList(groups, to) : emptyState("No delivery failed.")}
    </section>`;
  }
}

customElements.define("delivery-facets", DeliveryFacets);
