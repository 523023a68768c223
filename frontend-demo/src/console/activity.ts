/** The deliveries over time, as lines of a chart: one for each status or channel. */
import { CHANNEL_KEYS, channelName, statusName } from "./labels";
import type { ActivityBucket } from "./operations";
import { address } from "./router";

/** The length of a chart, and of one time in it. */
export interface Period {
  readonly name: string;
  readonly ms: number;
  /** An ISO 8601 duration. */
  readonly by: string;
  readonly stepMs: number;
  /** The name of the time, for headings. */
  readonly unit: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MINUTES_KEPT_MS = 3 * DAY_MS; // the hub keeps the counts of minutes for this long
/** The periods, by the values that `range` has in addresses. */
export const PERIODS: Record<string, Period> = {
  "1h": { name: "Last hour", ms: HOUR_MS, by: "PT1M", stepMs: MINUTE_MS, unit: "minute" },
  "24h": { name: "Last 24 hours", ms: DAY_MS, by: "PT1H", stepMs: HOUR_MS, unit: "hour" },
  "7d": { name: "Last 7 days", ms: 7 * DAY_MS, by: "PT1H", stepMs: HOUR_MS, unit: "hour" },
  "30d": { name: "Last 30 days", ms: 30 * DAY_MS, by: "P1D", stepMs: DAY_MS, unit: "day (UTC)" },
};
export const DEFAULT_PERIOD = "24h";

/** The statuses that are counted over time, with the class of their lines. */
export const STATUS_LINES: Record<string, string> = {
  SENT: "line-1", DELIVERED: "line-2", READ: "line-3", FAILED: "line-4",
  RETRYING: "line-5", SKIPPED: "line-6", CANCELLED: "line-7", EXPIRED: "line-8",
};
/** Of what a delivery has become since it reached a status: a delivery that was sent may be delivered or read now. */
const STILL: Record<string, string> = { SENT: "SENT,DELIVERED,READ", DELIVERED: "DELIVERED,READ" };
/** Sent or delivered: some channels report only one of them. */
export const ARRIVED = "SENT,DELIVERED";

/** One line of a chart. `linkTo`: the address of the list of what a time, or the whole period, contains. */
export interface Line {
  readonly key: string;
  readonly name: string;
  readonly style: string;
  readonly values: readonly number[];
  readonly total: number;
  readonly linkTo: (since: number, until: number) => string | null;
}

/** The times of a chart, in ms: the start of the first, and the end of the last. */
export interface Span {
  readonly since: number;
  readonly until: number;
  readonly stepMs: number;
}

/** Return the times of a period that ends with the time that contains `now`. */
export function spanOf({ ms, stepMs }: Pick<Period, "ms" | "stepMs">, now: number): Span {
  const until = Math.ceil((now + 1) / stepMs) * stepMs;
  return { since: until - ms, until, stepMs };
}

export const timesOf = ({ since, until, stepMs }: Span): number[] =>
  Array.from({ length: (until - since) / stepMs }, (_, index) => since + index * stepMs);

/** Return the period and the times of a chart from `since` to `until`. */
export function periodOf(since: number, until: number): Period & { span: Span } {
  const ms = Math.max(until - since, MINUTE_MS);
  const found = Object.values(PERIODS).find((one) => ms <= one.ms && (one.stepMs > MINUTE_MS || Date.now() - since < MINUTES_KEPT_MS));
  const { by, stepMs, unit } = found ?? (PERIODS["30d"] as Period);
  const start = Math.floor(since / stepMs) * stepMs;
  const span = { since: start, until: Math.max(Math.ceil(until / stepMs) * stepMs, start + stepMs), stepMs };
  return { name: "", ms, by, stepMs, unit, span };
}

/**
 * Return a line for each status with deliveries. `channels` are separated by commas; if none is named, all except the
 * inbox. The links have the rest of the filter.
 */
export function statusLines(buckets: readonly ActivityBucket[], span: Span, channels: string, filter: Filter = {}): Line[] {
  const names = channels.split(",");
  const chosen = buckets.filter(({ channel }) => (channels ? names.includes(channel) : channel !== "IN_APP"));
  return Object.entries(STATUS_LINES)
    .map(([status, style]) => {
      const values = sums(chosen.filter((one) => one.status === status), span);
      return line(status, statusName(status), style, values, linkTo(channels, status, filter));
    })
    .filter(({ total }) => total);
}

/** Return a line for each channel with deliveries that reached a status, or ARRIVED. */
export function channelLines(buckets: readonly ActivityBucket[], span: Span, status: string): Line[] {
  return CHANNEL_KEYS.map((channel, index) => {
    const values = reached(buckets, span, channel, status);
    return line(channel, channelName(channel), `line-${index + 1}`, values, linkTo(channel, status));
  }).filter(({ total }) => total);
}

/** Return the deliveries outside the inbox that left the hub, of these and those that failed or expired. */
export function successRate(buckets: readonly ActivityBucket[], span: Span): number | null {
  let arrived = 0;
  let lost = 0;
  for (const channel of CHANNEL_KEYS.filter((key) => key !== "IN_APP")) {
    arrived += total(reached(buckets, span, channel, ARRIVED));
    for (const status of ["FAILED", "EXPIRED"]) lost += total(reached(buckets, span, channel, status));
  }
  return arrived + lost ? arrived / (arrived + lost) : null;
}

type Filter = Record<string, string | null>;

/** Failures are listed by the time of the failure, other deliveries by the time of their creation. */
function linkTo(channel: string, status: string, filter: Filter = {}): Line["linkTo"] {
  if (channel === "IN_APP") return () => null; // only pages of people list them
  const time = status === "FAILED" || status === "RETRYING" ? "failed" : null;
  const statuses = status === ARRIVED ? STILL["SENT"] : (STILL[status] ?? status);
  return (since, until) =>
    address("deliveries", "", {
      ...filter, status: statuses, ...(channel ? { channel } : {}), time,
      since: new Date(since).toISOString(), until: new Date(until).toISOString(),
    });
}

function reached(buckets: readonly ActivityBucket[], span: Span, channel: string, status: string): number[] {
  const of = (one: string) => sums(buckets.filter((bucket) => bucket.channel === channel && bucket.status === one), span);
  if (status !== ARRIVED) return of(status);
  const [sent, delivered] = [of("SENT"), of("DELIVERED")];
  return total(sent) >= total(delivered) ? sent : delivered;
}

function sums(buckets: readonly ActivityBucket[], { since, until, stepMs }: Span): number[] {
  const values = Array.from({ length: (until - since) / stepMs }, () => 0);
  for (const { at, count } of buckets) {
    const index = Math.floor((Date.parse(at) - since) / stepMs);
    if (index in values) values[index] = (values[index] ?? 0) + count;
  }
  return values;
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const line = (key: string, name: string, style: string, values: number[], to: Line["linkTo"]): Line =>
  ({ key, name, style, values, total: total(values), linkTo: to });
