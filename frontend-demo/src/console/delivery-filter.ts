/** The filter of the list of deliveries, and how it stands in the address. */
import { address } from "./router";
import type { DeliveryFilter } from "./operations";

/** The fields whose values are lists, separated by commas in the address. */
export const LISTS = { channel: "channels", status: "statuses", reason: "reasons", provider: "providers" } as const;
/** The fields with one value. */
export const VALUES = { category: "category", user: "userId", send: "sendId", error: "error" } as const;
const HOUR_MS = 3_600_000;
/** The time ranges that end now. */
export const RANGES: Record<string, readonly [label: string, ms: number]> = {
  "1h": ["Last hour", HOUR_MS],
  "24h": ["Last 24 hours", 24 * HOUR_MS],
  "7d": ["Last 7 days", 7 * 24 * HOUR_MS],
  "30d": ["Last 30 days", 30 * 24 * HOUR_MS],
};
/** `time` is `failed` if the other three limit the time of the last failure, instead of that of the creation. */
export const TIME_KEYS = ["range", "since", "until", "time"] as const;
export const FILTER_KEYS = [...Object.keys(LISTS), ...Object.keys(VALUES), ...TIME_KEYS];

/** Return the values of a list in the address. */
export const listOf = (params: URLSearchParams, key: string): string[] =>
  (params.get(key) ?? "").split(",").filter(Boolean);

export const isByFailure = (params: URLSearchParams): boolean => params.get("time") === "failed";

/** Return the filter that the address describes. A range that ends now starts relative to `now`. */
export function toFilter(params: URLSearchParams, now: number): DeliveryFilter {
  const filter: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(LISTS)) {
    const values = listOf(params, key);
    if (values.length) filter[field] = values;
  }
  for (const [key, field] of Object.entries(VALUES)) {
    if (params.get(key)) filter[field] = params.get(key);
  }
  const [since, until] = isByFailure(params) ? (["failedSince", "failedUntil"] as const) : (["since", "until"] as const);
  const range = RANGES[params.get("range") ?? ""];
  if (range) filter[since] = new Date(now - range[1]).toISOString();
  if (params.get("since")) filter[since] = params.get("since");
  if (params.get("until")) filter[until] = params.get("until");
  return filter as DeliveryFilter;
}

/** Return the address of the list with changed filters, on its first page. Null removes a filter. */
export function filtered(params: URLSearchParams, changes: Record<string, string | null>): string {
  const kept = FILTER_KEYS.map((key) => [key, key in changes ? (changes[key] ?? null) : params.get(key)]);
  return address("deliveries", "", Object.fromEntries(kept) as Record<string, string | null>);
}

/** True if the address selects a part of the deliveries. */
export const isFiltered = (params: URLSearchParams): boolean => FILTER_KEYS.some((key) => key !== "time" && params.get(key));
