/** Sends marks to the hub one after another. */
import type { HubConnection, HubError } from "./connection";
import { batch, toMutation, type MarkRequest } from "./mark-mutations";
import { isMarkAll, type Verb } from "./optimistic-marks";

export interface Refusal {
  verb: Verb;
  error: HubError;
}

interface Listener {
  /** The hub has made the change. */
  confirmed(key: string): void;
  /** The change was not made, or changed nothing. The hub may have refused it. */
  discarded(key: string, refusal?: Refusal): void;
}

export class MarkQueue {
  readonly #hub: HubConnection;
  readonly #listener: Listener;
  readonly #pending = new Map<string, { request: MarkRequest; posted: AbortController }>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(hub: HubConnection, listener: Listener) {
    this.#hub = hub;
    this.#listener = listener;
  }

  add(key: string, request: MarkRequest): void {
    const posted = new AbortController();
    this.#pending.set(key, { request, posted });
    this.#last = this.#last.then(() => this.#send(request, posted.signal)).then(
      (changed) => {
        this.#pending.delete(key);
        if (changed) this.#listener.confirmed(key);
        else this.#listener.discarded(key);
      },
      (error: HubError) => {
        if (posted.signal.aborted) return;
        this.#pending.delete(key);
        this.#listener.discarded(key, { verb: request.verb, error });
      },
    );
  }

  /** Return false if the hub changed nothing, and will therefore send no event. */
  async #send(request: MarkRequest, signal: AbortSignal): Promise<boolean> {
    if (request.undoes && !request.undoes.undoToken) return false; // the hub refused the mark, or it changed nothing
    const response = Object.values(await this.#hub.mutate(...toMutation(request), signal))[0];
    request.undoToken = response?.undoToken;
    return !!response?.changed || !(isMarkAll(request.verb) || request.undoes);
  }

  /** Send all waiting marks in requests that outlive the page. */
  async flush(): Promise<void> {
    if (!this.#hub.signedIn) return;
    const flushed = [...this.#pending];
    this.#pending.clear();
    for (const [key, { posted }] of flushed) {
      posted.abort();
      this.#listener.confirmed(key);
    }
    try {
      for (const mutation of batch(flushed.map(([, { request }]) => request))) await this.#hub.post(...mutation);
    } catch {
      for (const [key] of flushed) this.#listener.discarded(key);
    }
  }
}
