/** The other tabs of this browser with the same endpoint and user, and what one of them kept for the next. */
import type { Mark } from "./marks";
import type { Item } from "./operations";

/** Marks as they are made, and what became of them. */
export type Word = { made: Mark } | { taken: string } | { dropped: string };

/** The newest of the inbox, as it was last known. */
export interface Kept {
  items: Item[];
  unread: number;
  unseen: number;
}

const SHAPE = 3; // of what is kept and of marks: another one is for other tabs and other pages
const KEPT_FOR_MS = 7 * 24 * 3_600_000;

export class Tabs {
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  #closed = false;

  constructor(endpoint: string, user: string, hear: (word: Word) => void) {
    this.#name = `hub-inbox/${SHAPE} ${endpoint} ${user}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }: MessageEvent<Word>) => hear(data);
  }

  tell(word: Word): void {
    if (!this.#closed) this.#channel.postMessage(word);
  }

  keep(kept: Kept): void {
    try {
      localStorage.setItem(this.#name, JSON.stringify({ ...kept, at: Date.now() }));
    } catch {
      this.forget(); // full, or forbidden: the next page shows nothing until the hub has answered
    }
  }

  kept(): Kept | undefined {
    try {
      const kept = JSON.parse(localStorage.getItem(this.#name) ?? "null") as (Kept & { at: number }) | null;
      if (kept && Date.now() - kept.at < KEPT_FOR_MS && Array.isArray(kept.items)) return kept;
    } catch {
      // as if there were nothing
    }
    this.forget();
    return undefined;
  }

  forget(): void {
    try {
      localStorage.removeItem(this.#name);
    } catch {
      // nothing can be kept here, then
    }
  }

  close(): void {
    this.#closed = true;
    this.#channel.close();
  }
}
