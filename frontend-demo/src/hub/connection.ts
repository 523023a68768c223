/**
 * One WebSocket to the hub, shared by every component of a page with the same endpoint and user.
 *
 * It is there as long as somebody has joined it, and comes back by itself: with jitter after a loss, at once when the
 * page wakes up, with a fresh token when the old one is refused or about to end. Operations outlive connections: one
 * that was cut off is asked again. So mutate only what may be repeated.
 */
import { createClient, type Client } from "graphql-ws";
import type { TadaDocumentNode } from "gql.tada";
import { HubError, refusal } from "./errors";
import { claims, userOf, type GetToken } from "./token";
import { jitter, WakeUp } from "./waiting";

export { HubError };
export type { GetToken };

/** `refused`: the hub does not take the token, and nobody has given another yet. */
export type Status = "connecting" | "live" | "offline" | "refused";

export interface Sink<Result> {
  next(result: Result): void;
  /** The hub ended it with an error that asking again would not mend. */
  error(error: HubError): void;
  /** The hub ended it in good order. */
  complete(): void;
}

const RETRY_BASE_MS = 1_000;
const RETRY_BASE_RESTART_MS = 3_000; // many come back at the same moment
const CONNECT_TIMEOUT_MS = 15_000;
const PING_EVERY_MS = 20_000;
const PONG_TIMEOUT_MS = 8_000;
const MUTATE_ATTEMPTS = 3;
const REFRESH_EARLY_MS = 30_000;
const TIMER_MAX_MS = 2 ** 31 - 1;
const RENEW = 4205; // ours: the client library comes back after it
const ABNORMAL = 1006; // also where the hub does not take the page's origin: browsers do not tell why
const UNUSED = 1000; // nothing is asked for any more
const RESTARTS = [1012, 1013];
const FORBIDDEN = 4403;

/**
 * Shared by all copies of this script on a page. The number changes when copies of different versions can no longer
 * share a connection.
 */
const CONNECTIONS = Symbol.for("notification-hub.connections.1");
const joined = ((globalThis as { [CONNECTIONS]?: Map<string, Hub> })[CONNECTIONS] ??= new Map<string, Hub>());

/**
 * The page's connection to this endpoint as the user whom the token names. Waits until there is a token.
 * Whoever joins leaves, by `hub.leave(getToken)`.
 */
export async function join(endpoint: string, getToken: GetToken, signal?: AbortSignal): Promise<Hub> {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const wakeUp = new WakeUp();
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        const token = await getToken();
        signal?.throwIfAborted();
        const key = `${url.href} ${userOf(token)}`;
        let hub = joined.get(key);
        if (!hub) joined.set(key, (hub = new Hub(url.href, userOf(token), () => joined.delete(key))));
        hub.enter(getToken);
        return hub;
      } catch (error) {
        signal?.throwIfAborted();
        console.warn("hub: no token yet", error);
        await wakeUp.pause(jitter(attempt, RETRY_BASE_MS));
        signal?.throwIfAborted();
      }
    }
  } finally {
    wakeUp.stop();
  }
}

/** Events: `status` when that changes, `user` when the token is another person's: leave, and join again. */
export class Hub extends EventTarget {
  readonly endpoint: string;
  /** Tenant and user, as the token names them. */
  readonly user: string;
  status: Status = "connecting";

  readonly #onEmpty: () => void;
  readonly #client: Client;
  readonly #wakeUp = new WakeUp(() => this.#probe());
  readonly #members: GetToken[] = [];
  #socket: WebSocket | undefined;
  #token = "";
  #next: string | undefined; // fetched before the one in use has ended
  #refused: string | undefined;
  #closedWith = 0;
  #openedAt = 0;
  #clockOffsetMs = 0;
  #returnAtOnce = false;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  #pongTimer: ReturnType<typeof setTimeout> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(endpoint: string, user: string, onEmpty: () => void) {
    super();
    this.endpoint = endpoint;
    this.user = user;
    this.#onEmpty = onEmpty;
    this.#client = createClient({
      url: () => this.#prepare(),
      connectionParams: () => ({ authorization: `Bearer ${this.#token}` }),
      connectionAckWaitTimeout: CONNECT_TIMEOUT_MS,
      keepAlive: PING_EVERY_MS,
      lazyCloseTimeout: 1_000,
      retryAttempts: Infinity,
      shouldRetry: () => true,
      retryWait: (attempt) => this.#wait(attempt),
      on: {
        opened: () => (this.#openedAt = Date.now()),
        connected: (socket, payload) => {
          this.#readClock(payload);
          this.#connected(socket as WebSocket);
        },
        closed: (event) => this.#closed(event),
        ping: (received) => received || this.#expectPong(),
        pong: (received) => received && clearTimeout(this.#pongTimer),
      },
    });
    addEventListener("offline", this.#probe);
  }

  enter(getToken: GetToken): void {
    this.#members.push(getToken);
  }

  leave(getToken: GetToken): void {
    this.#members.splice(this.#members.lastIndexOf(getToken), 1);
    if (this.#members.length) return;
    this.#onEmpty();
    this.#wakeUp.stop();
    removeEventListener("offline", this.#probe);
    clearTimeout(this.#refreshTimer);
    clearTimeout(this.#connectTimer);
    void Promise.resolve(this.#client.dispose()).catch(() => {}); // it was about to connect
  }

  /** The current time in milliseconds by the hub's clock, as far as a connection has shown it. */
  now(): number {
    return Date.now() + this.#clockOffsetMs;
  }

  /** There may be another token now: ask for it. */
  refresh(): void {
    if (this.#socket) void this.#renew();
    else this.#wakeUp.now();
  }

  /** One answer. Waits for the connection, however long; rejects with HubError for what the hub refused. */
  async query<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables?: Variables,
    signal?: AbortSignal,
  ): Promise<Result> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      let answer: Result | undefined;
      const stop = this.#operate(document, variables, {
        next: (result) => (answer = result),
        error: reject,
        complete: () => (answer === undefined ? reject(new HubError("No answer", "UNAVAILABLE")) : resolve(answer)),
      });
      signal?.addEventListener("abort", () => {
        stop();
        reject(signal.reason as Error);
      });
    });
  }

  /** As `query`, and tried again where that may help. */
  async mutate<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables?: Variables,
    signal?: AbortSignal,
  ): Promise<Result> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.query(document, variables, signal);
      } catch (error) {
        if (!(error as HubError).transient || attempt === MUTATE_ATTEMPTS - 1) throw error;
        await this.#wakeUp.pause(jitter(attempt, RETRY_BASE_MS));
      }
    }
  }

  /** Whether there is a token to `post` with. */
  get signedIn(): boolean {
    return this.#token !== "";
  }

  /** For a page that is going away: sent whatever becomes of it. Rejects where that is still to be seen to fail. */
  async post<Result, Variables>(document: TadaDocumentNode<Result, Variables>, variables?: Variables): Promise<void> {
    await fetch(this.endpoint.replace("ws", "http"), {
      method: "POST",
      keepalive: true,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: document, variables }),
    });
  }

  /**
   * Result after result, over as many connections as it takes. `variables` are read anew for each: let a getter answer
   * the last cursor. Answers what ends it.
   */
  subscribe<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): () => void {
    let stop = () => {};
    let stopped = false;
    let failures = 0;
    const begin = () => {
      stop = this.#operate(document, variables, {
        next: (result) => {
          failures = 0;
          sink.next(result);
        },
        error: async (error) => {
          if (!error.transient) return sink.error(error);
          await this.#wakeUp.pause(jitter(failures++, RETRY_BASE_MS));
          if (!stopped) begin();
        },
        complete: () => sink.complete(),
      });
    };
    begin();
    return () => {
      stopped = true;
      stop();
    };
  }

  #operate<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables: Variables | undefined,
    sink: Sink<Result>,
  ): () => void {
    let ended = false;
    let stop = () => {};
    const begin = (attempt = 0) => {
      stop = this.#client.subscribe(
        { query: document as unknown as string, variables: variables as Record<string, unknown> },
        {
          next: ({ data, errors }) => {
            if (ended) return;
            if (!errors) return sink.next(data as Result);
            ended = true;
            stop();
            sink.error(refusal(errors));
          },
          error: async (error) => {
            if (ended) return;
            if (Array.isArray(error)) {
              ended = true;
              return sink.error(refusal(error));
            }
            // The client library gave the connection up, by a code that it takes for final.
            await this.#wakeUp.pause(jitter(attempt, RETRY_BASE_MS));
            if (!ended) begin(attempt + 1);
          },
          complete: () => {
            if (!ended) sink.complete();
            ended = true;
          },
        },
      );
    };
    begin();
    return () => {
      ended = true;
      stop();
    };
  }

  /** A token that the hub has not refused yet, and then the address. It must not throw: the library would hang. */
  async #prepare(): Promise<string> {
    for (let attempt = 0; ; attempt++) {
      if (!this.#members.length) return new Promise(() => {}); // everybody has left
      try {
        const token = this.#next ?? (await this.#ask(this.#refused));
        this.#next = undefined;
        if (userOf(token) !== this.user) {
          this.dispatchEvent(new Event("user"));
        } else if (token !== this.#refused) {
          this.#token = token;
          break;
        } else {
          this.#become("refused");
        }
      } catch (error) {
        console.warn("hub: no token", error);
        this.#become("offline");
      }
      await this.#wakeUp.pause(jitter(attempt + 1, RETRY_BASE_MS));
    }
    clearTimeout(this.#connectTimer);
    this.#connectTimer = setTimeout(() => this.#client.terminate(), CONNECT_TIMEOUT_MS);
    return this.endpoint;
  }

  async #wait(attempt: number): Promise<void> {
    if (this.#returnAtOnce) {
      this.#returnAtOnce = false;
      return;
    }
    const base = RESTARTS.includes(this.#closedWith) ? RETRY_BASE_RESTART_MS : RETRY_BASE_MS;
    await this.#wakeUp.pause(jitter(attempt, base));
  }

  /** The hub's acknowledgement says its time, which is that of the middle of the exchange. */
  #readClock(payload: unknown): void {
    const { serverTime } = (payload ?? {}) as { serverTime?: string };
    const at = Date.parse(serverTime ?? "");
    if (!Number.isNaN(at)) this.#clockOffsetMs = at - (this.#openedAt + Date.now()) / 2;
  }

  #connected(socket: WebSocket): void {
    clearTimeout(this.#connectTimer);
    this.#socket = socket;
    this.#refused = undefined;
    this.#become("live");
    const { exp } = claims(this.#token);
    const left = (exp ?? 0) * 1_000 - this.now();
    if (left <= 0) return; // within the hub's leeway: the hub says when it has ended
    const early = Math.min(REFRESH_EARLY_MS, left / 4);
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = setTimeout(() => void this.#renew(), Math.min(Math.max(0, left - early), TIMER_MAX_MS));
  }

  #closed(event: unknown): void {
    const { code, reason } = event as CloseEvent;
    this.#closedWith = code;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#pongTimer);
    clearTimeout(this.#refreshTimer);
    if (code === ABNORMAL && this.status === "connecting")
      console.warn(`hub: no connection to ${this.endpoint}. Is the hub there, and ${location.origin} among its HUB_ALLOWED_ORIGINS?`);
    if (code === FORBIDDEN) {
      console.warn("hub: the token is refused:", reason);
      this.#refused = this.#token;
      this.#returnAtOnce = this.#socket !== undefined; // it was good once: it has expired
    }
    this.#socket = undefined;
    if (code !== RENEW && code !== UNUSED) this.#become("offline");
  }

  /** Comes back with the next token, if there is one. */
  async #renew(): Promise<void> {
    const socket = this.#socket;
    try {
      const token = await this.#ask();
      if (token === this.#token || socket !== this.#socket || !socket) return;
      this.#returnAtOnce = true;
      this.#next = token;
      socket.close(RENEW, "With a new token");
    } catch (error) {
      console.warn("hub: no new token", error); // when this one ends, it is asked for again
    }
  }

  /** Whoever came last knows best; who has left is not asked. */
  #ask(refused?: string): string | Promise<string> {
    return this.#members.at(-1)?.(refused) ?? "";
  }

  /** Is anybody there? A socket that slept with its machine does not know that it is dead. */
  readonly #probe = (): void => {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"ping"}');
    this.#expectPong();
  };

  #expectPong(): void {
    clearTimeout(this.#pongTimer);
    this.#pongTimer = setTimeout(() => this.#client.terminate(), PONG_TIMEOUT_MS);
  }

  #become(status: Status): void {
    if (status === this.status) return;
    this.status = status;
    this.dispatchEvent(new Event("status"));
  }
}
