/** Share marks between the tabs of a browser, and store the newest page of the inbox for the next visit. */
import type { Mark } from "./optimistic-marks";
import type { Item } from "./operations";
import { PageChannel } from "./page-channel";

/** A message about a mark that was made, confirmed by the hub, or discarded. The last two contain only the key. */
export type TabMessage = { made: Mark } | { confirmed: string } | { discarded: string };

/** The newest page of the inbox with the counts. */
export interface Snapshot {
  items: Item[];
  unread: number;
  unseen: number;
}

const FORMAT = 8; // the format of messages and snapshots; versions of this script with other formats ignore them
const SNAPSHOT_TTL_MS = 7 * 24 * 3_600_000;

/** Uses one channel and one local storage key per endpoint and user. */
export class CrossTab {
  readonly #name: string;
  readonly #channel: PageChannel<TabMessage>;

  constructor(endpoint: string, user: string, onMessage: (message: TabMessage) => void) {
    this.#name = `hub-inbox/${FORMAT} ${endpoint} ${user}`;
    this.#channel = new PageChannel(this.#name, onMessage);
  }

  post(message: TabMessage): void {
    this.#channel.post(message);
  }

  save(snapshot: Snapshot): void {
    try {
      localStorage.setItem(this.#name, JSON.stringify({ ...snapshot, at: Date.now() }));
    } catch {
      this.remove(); // storage is full or blocked: the next page starts empty
    }
  }

  load(): Snapshot | undefined {
    try {
      const stored = JSON.parse(localStorage.getItem(this.#name) ?? "null") as (Snapshot & { at: number }) | null;
      if (stored && Date.now() - stored.at < SNAPSHOT_TTL_MS && Array.isArray(stored.items)) return stored;
    } catch {
      // The data cannot be read and is removed below.
    }
    this.remove();
    return undefined;
  }

  remove(): void {
    try {
      localStorage.removeItem(this.#name);
    } catch {
      // Storage is blocked, so nothing is stored.
    }
  }

  close(): void {
    this.#channel.close();
  }
}
