/** Retry delays and waits that end early when the page becomes active. */

const RETRY_MAX_MS = 30_000;

/** Return a random delay in milliseconds. The maximum is `base`, which doubles with each attempt. */
export const jitter = (attempt: number, base: number): number => Math.random() * Math.min(RETRY_MAX_MS, base * 2 ** attempt);

/** Waits that end early when the page becomes visible or the network returns. */
export class WakeableTimer {
  readonly #onWake: (() => void) | undefined;
  readonly #waits = new Set<() => void>();

  constructor(onWake?: () => void) {
    this.#onWake = onWake;
    addEventListener("online", this.#onPageActive);
    addEventListener("pageshow", this.#onPageActive);
    document.addEventListener("visibilitychange", this.#onPageActive);
  }

  stop(): void {
    removeEventListener("online", this.#onPageActive);
    removeEventListener("pageshow", this.#onPageActive);
    document.removeEventListener("visibilitychange", this.#onPageActive);
  }

  readonly #onPageActive = (): void => {
    if (document.visibilityState !== "hidden") this.wake();
  };

  /** End all waits, even if the page is hidden. */
  wake(): void {
    for (const resume of this.#waits) resume();
    this.#onWake?.();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const resume = () => {
        clearTimeout(timer);
        this.#waits.delete(resume);
        resolve();
      };
      const timer = setTimeout(resume, ms);
      this.#waits.add(resume);
    });
  }
}
