/** The filtered deliveries as a CSV file (RFC 4180), read page by page. */
import { request } from "./client";
import { Deliveries, type DeliveryFilter, type DeliveryRow } from "./operations";

export const CSV_MAX_ROWS = 10_000;
const PAGE_SIZE = 100;
const COLUMNS: Record<string, (row: DeliveryRow) => string | number | null | undefined> = {
  id: (row) => row.id,
  created_at: (row) => row.createdAt,
  updated_at: (row) => row.updatedAt,
  user: (row) => row.userId,
  send: (row) => row.sendId,
  category: (row) => row.notification?.categoryName,
  title: (row) => row.notification?.title,
  channel: (row) => row.channel,
  status: (row) => row.status,
  reason: (row) => row.reason,
  explanation: (row) => row.explanation,
  attempts: (row) => row.attempts.length,
  provider: (row) => row.attempts.at(-1)?.provider,
  last_error: (row) => row.attempts.at(-1)?.error,
};

/** Return the file and its number of rows: the newest `CSV_MAX_ROWS` matching deliveries at most. */
export async function readCsv(
  filter: DeliveryFilter,
  signal: AbortSignal,
  onProgress: (rows: number) => void,
): Promise<{ file: Blob; rows: number; complete: boolean }> {
  const parts = [toLine(Object.keys(COLUMNS))];
  let rows = 0;
  let after: string | null = null;
  do {
    const page: PageOfRows = (await request(Deliveries, { filter, first: PAGE_SIZE, after }, signal)).deliveries;
    parts.push(page.nodes.map((row) => toLine(Object.values(COLUMNS).map((value) => value(row)))).join(""));
    rows += page.nodes.length;
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    onProgress(rows);
  } while (after && rows < CSV_MAX_ROWS);
  return { file: new Blob(parts, { type: "text/csv;charset=utf-8" }), rows, complete: !after };
}

interface PageOfRows {
  nodes: DeliveryRow[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

const toLine = (values: readonly unknown[]): string => `${values.map(toField).join(",")}\r\n`;

/** Return a quoted field. An apostrophe keeps spreadsheets from running a text as a formula. */
function toField(value: unknown): string {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Let the browser store the file. */
export function download(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
