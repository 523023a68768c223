/** The hub's clock, estimated from the times in its messages. */
export class HubClock {
  #offsetMs = 0;
  #aheadMs = 0; // by which the hub's clock is ahead of real time, in development only

  /** Return the hub's time in milliseconds. Before the first message, it is the time of this device. */
  now(): number {
    return Date.now() + this.#offsetMs;
  }

  /** Return the real time in milliseconds. */
  realNow(): number {
    return this.now() - this.#aheadMs;
  }

  /** The hub's time in a message is assumed to be the time in the middle of the exchange that began at `startedAt`. */
  synchronize(payload: unknown, startedAt: number): void {
    const { serverTime, clockAheadMs } = (payload ?? {}) as { serverTime?: string; clockAheadMs?: number };
    const at = Date.parse(serverTime ?? "");
    if (Number.isNaN(at)) return;
    this.#offsetMs = at - (startedAt + Date.now()) / 2;
    this.#aheadMs = clockAheadMs ?? 0;
  }
}
