/** Times of the timeline, such as `14:10` and `in 10 min`. */
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

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
  const minutes = Math.max(1, Math.round((Date.parse(at) - now) / MINUTE_MS));
  const hours = Math.round(minutes / 60);
  if (minutes < 60) return relative.format(minutes, "minute");
  return hours < 24 ? relative.format(hours, "hour") : relative.format(Math.round(hours / 24), "day");
}
