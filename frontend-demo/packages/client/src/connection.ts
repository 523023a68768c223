/**
 * One WebSocket to the hub, which all elements of a page with the same endpoint and user share.
 *
 * - The connection is open while at least one element has joined it.
 * - The connection reconnects with jitter after a loss, immediately when the page becomes active, and with a new token
 *   when the current token was refused or is about to expire.
 * - The connection is closed when the user leaves the page. Browsers keep no page with an open socket for "Back".
 * - Operations outlive a socket: an interrupted operation is sent again on the next socket. Therefore mutations must be
 *   idempotent.
 */
import { createClient, type Client } from "graphql-ws";
import type { TadaDocumentNode } from "gql.tada";
import { jitter, WakeableTimer } from "./backoff";
import { HubError, toHubError } from "./errors";
import { HubClock } from "./hub-clock";
import { claims, userOf, type GetToken } from "./token";

export { HubError };
export type { GetToken };

/** `refused`: the hub refused the token, and no other token is available yet. */
export type Status = "connecting" | "live" | "offline" | "refused";

export interface Sink<Result> {
  next(result: Result): void;
  /** The operation failed with an error for which a retry would not succeed. */
  error(error: HubError): void;
  /** The hub completed the operation. */
  complete(): void;
}

const RETRY_BASE_MS = 1_000;
const RETRY_BASE_RESTART_MS = 3_000; // all clients of a process reconnect at the same time
const CONNECT_TIMEOUT_MS = 15_000;
const PING_EVERY_MS = 20_000;
const PONG_TIMEOUT_MS = 8_000;
const MUTATE_ATTEMPTS_MAX = 3;
const TOKEN_REFRESH_MARGIN_MS = 30_000;
const TIMER_MAX_MS = 2 ** 31 - 1;
const RENEW = 4205; // our own code; the client library reconnects after it
const ABNORMAL = 1006; // also used if the hub does not allow the page's origin, because browsers hide the reason
const UNUSED = 1000; // no operations remain
const RESTARTS = [1012, 1013];
const FORBIDDEN = 4403;

/** All copies of this script on a page share connections. The number changes with each incompatible version. */
const CONNECTIONS = Symbol.for("notification-hub.connections.1");
const connections = ((globalThis as { [CONNECTIONS]?: Map<string, HubConnection> })[CONNECTIONS] ??= new Map());

/**
 * Return the page's connection to the endpoint for the user of the token. Wait until `getToken` returns a token. Call
 * `hub.leave(getToken)` when the connection is no longer required.
 */
export async function join(endpoint: string, getToken: GetToken, signal?: AbortSignal): Promise<HubConnection> {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const timer = new WakeableTimer();
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        const token = await getToken();
        signal?.throwIfAborted();
        const key = `${url.href} ${userOf(token)}`;
        let hub = connections.get(key);
        if (!hub) connections.set(key, (hub = new HubConnection(url.href, userOf(token), () => connections.delete(key))));
        hub.enter(getToken);
        return hub;
      } catch (error) {
        signal?.throwIfAborted();
        console.warn("hub: no token yet", error);
        await timer.sleep(jitter(attempt, RETRY_BASE_MS));
        signal?.throwIfAborted();
      }
    }
  } finally {
    timer.stop();
  }
}

/**
 * Dispatches `status` when the status changes, `clock` when the hub's clock was moved (in development only), and `user`
 * when `getToken` returns a token of another user. After `user`, leave the connection and join again.
 */
export class HubConnection extends EventTarget {
  readonly endpoint: string;
  /** `tenant/user` in the token. */
  readonly user: string;
  status: Status = "connecting";

  readonly #onEmpty: () => void;
  readonly #client: Client;
  readonly #timer = new WakeableTimer(() => this.#probe());
  readonly #members: GetToken[] = [];
  readonly #clock = new HubClock();
  #socket: WebSocket | undefined;
  #token = "";
  #nextToken: string | undefined; // requested before the current one expires
  #refusedToken: string | undefined;
  #closeCode = 0;
  #openedAt = 0;
  #reconnectNow = false;
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
          this.#clock.synchronize(payload, this.#openedAt);
          this.#onConnected(socket as WebSocket);
        },
        closed: (event) => this.#onClosed(event),
        ping: (received, payload) => (received ? this.#onClockMoved(payload) : this.#expectPong()),
        pong: (received) => received && this.#onPong(),
      },
    });
    addEventListener("offline", this.#onOffline);
    addEventListener("pagehide", this.#disconnect);
  }

  enter(getToken: GetToken): void {
    this.#members.push(getToken);
  }

  leave(getToken: GetToken): void {
    this.#members.splice(this.#members.lastIndexOf(getToken), 1);
    if (this.#members.length) return;
    this.#onEmpty();
    this.#timer.stop();
    removeEventListener("offline", this.#onOffline);
    removeEventListener("pagehide", this.#disconnect);
    clearTimeout(this.#refreshTimer);
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#pongTimer);
    void Promise.resolve(this.#client.dispose()).catch(() => {}); // rejects if the client was about to connect
  }

  /** Return the current time in milliseconds, on the hub's clock after the first connection. */
  now(): number {
    return this.#clock.now();
  }

  /** Request a new token now. */
  refresh(): void {
    if (this.#socket) void this.#renew();
    else this.#timer.wake();
  }

  /** Return one result. Waits for the connection without a time limit. Rejects with HubError. */
  async query<Result, Variables>(document: TadaDocumentNode<Result, Variables>, variables?: Variables, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      let response: Result | undefined;
      const stop = this.#execute(document, variables, {
        next: (result) => (response = result),
        error: reject,
        complete: () => (response === undefined ? reject(new HubError("No response", "UNAVAILABLE")) : resolve(response)),
      });
      signal?.addEventListener("abort", () => {
        stop();
        reject(signal.reason as Error);
      });
    });
  }

  /** Like `query`, but retried after transient errors. */
  async mutate<Result, Variables>(document: TadaDocumentNode<Result, Variables>, variables?: Variables, signal?: AbortSignal): Promise<Result> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.query(document, variables, signal);
      } catch (error) {
        if (!(error as HubError).transient || attempt === MUTATE_ATTEMPTS_MAX - 1) throw error;
        await this.#timer.sleep(jitter(attempt, RETRY_BASE_MS));
      }
    }
  }

  /** True if a token is available for `post`. */
  get signedIn(): boolean {
    return this.#token !== "";
  }

  /** Send a mutation in a request that outlives the page. Rejects if the request fails while the page is open. */
  async post<Result, Variables>(document: TadaDocumentNode<Result, Variables>, variables?: Variables): Promise<void> {
    await fetch(this.endpoint.replace("ws", "http"), {
      method: "POST",
      keepalive: true,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: document, variables }),
    });
  }

  /**
   * Receive results over any number of sockets. `variables` are read again for each socket, so use a getter that
   * returns the last cursor. Returns a function that ends the subscription.
   */
  subscribe<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): () => void {
    let stop = () => {};
    let stopped = false;
    let failures = 0;
    const start = () => {
      stop = this.#execute(document, variables, {
        next: (result) => {
          failures = 0;
          sink.next(result);
        },
        error: async (error) => {
          if (!error.transient) return sink.error(error);
          await this.#timer.sleep(jitter(failures++, RETRY_BASE_MS));
          if (!stopped) start();
        },
        complete: () => sink.complete(),
      });
    };
    start();
    return () => {
      stopped = true;
      stop();
    };
  }

  #execute<Result, Variables>(
    document: TadaDocumentNode<Result, Variables>,
    variables: Variables | undefined,
    sink: Sink<Result>,
  ): () => void {
    let ended = false;
    let stop = () => {};
    const start = (attempt = 0) => {
      stop = this.#client.subscribe(
        { query: document as unknown as string, variables: variables as Record<string, unknown> },
        {
          next: ({ data, errors }) => {
            if (ended) return;
            if (!errors) return sink.next(data as Result);
            ended = true;
            stop();
            sink.error(toHubError(errors));
          },
          error: async (error) => {
            if (ended) return;
            if (Array.isArray(error)) {
              ended = true;
              return sink.error(toHubError(error));
            }
            // The client library does not reconnect after this close code.
            await this.#timer.sleep(jitter(attempt, RETRY_BASE_MS));
            if (!ended) start(attempt + 1);
          },
          complete: () => {
            if (!ended) sink.complete();
            ended = true;
          },
        },
      );
    };
    start();
    return () => {
      ended = true;
      stop();
    };
  }

  /** Get a token that was not refused, and return the URL. Must not throw, because the client library would hang. */
  async #prepare(): Promise<string> {
    for (let attempt = 0; ; attempt++) {
      if (!this.#members.length) return new Promise(() => {}); // all elements have left
      try {
        const token = this.#nextToken ?? (await this.#requestToken(this.#refusedToken));
        this.#nextToken = undefined;
        if (userOf(token) !== this.user) {
          this.dispatchEvent(new Event("user"));
        } else if (token !== this.#refusedToken) {
          this.#token = token;
          break;
        } else {
          this.#setStatus("refused");
        }
      } catch (error) {
        console.warn("hub: no token", error);
        this.#setStatus("offline");
      }
      await this.#timer.sleep(jitter(attempt + 1, RETRY_BASE_MS));
    }
    clearTimeout(this.#connectTimer);
    this.#connectTimer = setTimeout(this.#disconnect, CONNECT_TIMEOUT_MS);
    return this.endpoint;
  }

  async #wait(attempt: number): Promise<void> {
    const base = RESTARTS.includes(this.#closeCode) ? RETRY_BASE_RESTART_MS : RETRY_BASE_MS;
    if (!this.#reconnectNow) await this.#timer.sleep(jitter(attempt, base));
    this.#reconnectNow = false;
  }

  #onClockMoved(payload: unknown): void {
    this.#clock.synchronize(payload, Date.now());
    this.dispatchEvent(new Event("clock"));
  }

  #onConnected(socket: WebSocket): void {
    clearTimeout(this.#connectTimer);
    this.#socket = socket;
    this.#refusedToken = undefined;
    this.#setStatus("live");
    const { exp } = claims(this.#token);
    const left = (exp ?? 0) * 1_000 - this.#clock.realNow();
    if (left <= 0) return; // the token has expired but is within the hub's leeway; the hub closes the socket later
    const margin = Math.min(TOKEN_REFRESH_MARGIN_MS, left / 4);
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = setTimeout(() => void this.#renew(), Math.min(Math.max(0, left - margin), TIMER_MAX_MS));
  }

  #onClosed(event: unknown): void {
    const { code, reason } = event as CloseEvent;
    this.#closeCode = code;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#pongTimer);
    clearTimeout(this.#refreshTimer);
    if (code === ABNORMAL && this.status === "connecting")
      console.warn(`hub: no connection to ${this.endpoint}. Is the hub running, and is ${location.origin} among its HUB_ALLOWED_ORIGINS?`);
    if (code === FORBIDDEN) {
      console.warn("hub: the token is refused:", reason);
      this.#refusedToken = this.#token;
      this.#reconnectNow = this.#socket !== undefined; // the token was accepted before, so it has expired
    }
    this.#socket = undefined;
    if (code !== RENEW && code !== UNUSED) this.#setStatus("offline");
  }

  /** Reconnect with a new token if one is available. */
  async #renew(): Promise<void> {
    const socket = this.#socket;
    try {
      const token = await this.#requestToken();
      if (token === this.#token || socket !== this.#socket || !socket) return;
      this.#reconnectNow = true;
      this.#nextToken = token;
      socket.close(RENEW, "With a new token");
    } catch (error) {
      console.warn("hub: no new token", error); // requested again when the current one expires
    }
  }

  /** Return the token of the element that joined last. */
  #requestToken(refused?: string): string | Promise<string> {
    return this.#members.at(-1)?.(refused) ?? "";
  }

  readonly #disconnect = (): void => this.#client.terminate();

  /** The status is `offline` until the hub responds, which it does if it runs on this machine. */
  readonly #onOffline = (): void => {
    if (this.status === "live") this.#setStatus("offline");
    this.#probe();
  };

  /** Check the socket, because after sleep it may be dead without an event. */
  #probe(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"ping"}');
    this.#expectPong();
  }

  #expectPong(): void {
    clearTimeout(this.#pongTimer);
    this.#pongTimer = setTimeout(this.#disconnect, PONG_TIMEOUT_MS);
  }

  #onPong(): void {
    clearTimeout(this.#pongTimer);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#setStatus("live");
  }

  #setStatus(status: Status): void {
    if (status === this.status) return;
    this.status = status;
    this.dispatchEvent(new Event("status"));
  }
}
