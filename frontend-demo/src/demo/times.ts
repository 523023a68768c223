/** Times of the timeline, such as `14:10` and `in 10 min`. */
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const relative = new Intl.RelativeTimeFormat("en", { style: "short" });

/** Return the time of day, with the weekday or the date if it is another day. */
export function clockTime(at: string, now: number): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date(now).toDateString();
  const isSoon = date.getTime() - now < 6 * DAY_MS;
  const day: Intl.DateTimeFormatOptions = isToday ? {} : isSoon ? { weekday: "short" } : { day: "numeric", month: "short" };
  return date.toLocaleString("en", { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** Return the time from now, such as `in 10 min.` */
export function untilText(at: string, now: number): string {
  const ms = Date.parse(at) - now;
  if (ms < HOUR_MS) return relative.format(Math.max(1, Math.round(ms / MINUTE_MS)), "minute");
  if (ms < DAY_MS) return relative.format(Math.round(ms / HOUR_MS), "hour");
  return relative.format(Math.round(ms / DAY_MS), "day");
}
