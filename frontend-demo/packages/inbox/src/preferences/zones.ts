/** Names of time zones. */

export const browserZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

export const zoneName = (zone: string): string => zone.replaceAll("_", " ");

/** Return a space and the name of a time zone in parentheses, or an empty string if it is the browser's. */
export const zoneNote = (zone: string): string => (zone === browserZone() ? "" : ` (${zoneName(zone)})`);
