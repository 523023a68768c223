/** How long to wait before trying again, and what ends the wait. */

const RETRY_MAX_MS = 30_000;

/** From nothing to twice the mean, which doubles. */
export const jitter = (attempt: number, base: number): number => Math.random() * Math.min(RETRY_MAX_MS, base * 2 ** attempt);

/** Waits that end early when the page wakes up or gets its network back. */
export class WakeUp {
  readonly #onWake: (() => void) | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(onWake?: () => void) {
    this.#onWake = onWake;
    addEventListener("online", this.#woke);
    addEventListener("pageshow", this.#woke);
    document.addEventListener("visibilitychange", this.#woke);
  }

  stop(): void {
    removeEventListener("online", this.#woke);
    removeEventListener("pageshow", this.#woke);
    document.removeEventListener("visibilitychange", this.#woke);
  }

  readonly #woke = (): void => {
    if (document.visibilityState !== "hidden") this.now();
  };

  /** Ends all waits, also of a page that is hidden. */
  now(): void {
    for (const resume of this.#waiting) resume();
    this.#onWake?.();
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const resume = () => {
        clearTimeout(timer);
        this.#waiting.delete(resume);
        resolve();
      };
      const timer = setTimeout(resume, ms);
      this.#waiting.add(resume);
    });
  }
}
