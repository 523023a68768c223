/** Times, durations, and numbers as the console shows them. */
import { html, nothing } from "lit";

const DAY_MS = 86_400_000;
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const year = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
const number = new Intl.NumberFormat("en-US");

/** Return a short time: the time of day if it is today, otherwise with the day. */
export function shortTime(at: string, now = Date.now()): string {
  const date = new Date(at);
  const distance = Math.abs(now - date.getTime());
  if (date.toDateString() === new Date(now).toDateString()) return time.format(date);
  if (distance < 6 * DAY_MS) return weekday.format(date);
  return (distance < 300 * DAY_MS ? day : year).format(date);
}

/** Return a `<time>` element, with the whole date as its tooltip. */
export function timeOf(at: string | null | undefined) {
  return at ? html`<time datetime=${at} title=${full.format(new Date(at))}>${shortTime(at)}</time>` : nothing;
}

/** Return the date and the time of day. */
export const fullTime = (at: string): string => full.format(new Date(at));

/** Return a number with separators, such as 12,345. */
export const count = (value: number): string => number.format(value);

/** Return a number and its noun, such as "1 delivery" or "2 deliveries". */
export const counted = (value: number, one: string, many: string): string => `${count(value)} ${value === 1 ? one : many}`;

/** Return a share as a percentage. */
export const percent = (share: number): string =>
  `${share > 0 && share < 0.01 ? "<1" : Math.round(share * 100)}\u2009%`;

/** Return seconds as a short text, such as "3 min". */
export function seconds(value: number): string {
  if (value < 60) return `${Math.round(value)} s`;
  if (value < 3600) return `${Math.round(value / 60)} min`;
  return value < 48 * 3600 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86_400)} d`;
}
