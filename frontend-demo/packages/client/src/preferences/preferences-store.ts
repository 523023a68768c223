/**
 * The user's preferences: the state in the hub with the pending changes applied.
 *
 * A change is shown immediately. Changes are sent one after the other, because each response contains the complete
 * state after the change. A refused change is discarded.
 */
import type { HubConnection } from "../connection";
import type { HubError } from "../errors";
import type { ResultOf, VariablesOf } from "../graphql";
import { PageChannel } from "../page-channel";
import {
  ConnectChat,
  LeaveTopic,
  LoadPreferences,
  LoadSubscriptions,
  RejoinTopic,
  RemoveDevice,
  UpdatePreferences,
  type Cell,
  type Channel,
  type Device,
  type Matrix,
  type QuietWindow,
  type Subscription,
} from "./operations";

export type ChatEntries = VariablesOf<typeof ConnectChat>;
type PreferencesInput = VariablesOf<typeof UpdatePreferences>["input"];

const SLOW_MS = 3_000;

/** The text that explains a refused change. */
export type Refusal = "notSaved" | "quietFull" | "chatInvalid" | "chatFull";

type Collected = Pick<Cell, "channel" | "digest" | "digestAt" | "digestDays">;

interface State {
  matrix: Matrix;
  topics: Subscription[];
}

type SubscriptionPage = ResultOf<typeof LoadSubscriptions>["me"]["subscriptions"];
type Change = (state: State) => State;

/** Dispatches `change` when the displayed state changes, and `refused` with a `Refusal` when a change is discarded. */
export class PreferencesStore extends EventTarget {
  devices: Device[] = [];
  timezone = "UTC";
  failed = false;
  /** True if the hub has not responded for some time. */
  slow = false;
  /** The reason of the last refused change. */
  refusal: Refusal = "notSaved";

  readonly #hub: HubConnection;
  readonly #tabs: PageChannel<string>;
  #confirmed: State | undefined;
  #pending: Change[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #queuedLoad: Promise<boolean> | undefined;

  constructor(hub: HubConnection) {
    super();
    this.#hub = hub;
    this.#tabs = new PageChannel(`hub-preferences ${hub.endpoint} ${hub.user}`, () => void this.load());
    document.addEventListener("visibilitychange", this.#onVisible);
  }

  stop(): void {
    this.#tabs.close();
    document.removeEventListener("visibilitychange", this.#onVisible);
  }

  /** The displayed matrix, or undefined until it is loaded. */
  get matrix(): Matrix | undefined {
    return this.#displayed?.matrix;
  }

  /** The displayed topics that the user follows or has left. */
  get topics(): Subscription[] {
    return this.#displayed?.topics ?? [];
  }

  get #displayed(): State | undefined {
    return this.#confirmed && this.#pending.reduce((state, change) => change(state), this.#confirmed);
  }

  /** Load everything after pending changes. Calls share a load that has not started. Resolve to false on failure. */
  load(): Promise<boolean> {
    return (this.#queuedLoad ??= this.#enqueue(async () => {
      this.#queuedLoad = undefined;
      try {
        const { preferences, me } = await this.#hub.query(LoadPreferences);
        this.#confirmed = { matrix: preferences, topics: await this.#loadTopics(me.subscriptions) };
        this.devices = me.devices;
        this.timezone = me.timezone;
        this.failed = false;
      } catch (error) {
        console.warn("hub: cannot load the preferences", error);
        this.failed = true;
      }
      return !this.failed;
    }));
  }

  /** Return the visible topics of the first page and of the pages that follow. */
  async #loadTopics({ nodes, pageInfo }: SubscriptionPage): Promise<Subscription[]> {
    const visible = nodes.filter(({ topic }) => topic.visible);
    if (!pageInfo.hasNextPage) return visible;
    const { me } = await this.#hub.query(LoadSubscriptions, { after: pageInfo.endCursor });
    return [...visible, ...(await this.#loadTopics(me.subscriptions))];
  }

  /** Turn a channel on or off for all categories. */
  switchChannel(channel: Channel, enabled: boolean): Promise<boolean> {
    return this.#change({ channels: [{ channel, enabled }] }, (matrix) => ({
      ...matrix,
      channels: matrix.channels.map((cell) => (cell.channel === channel ? { ...cell, enabled } : cell)),
    }));
  }

  /** Turn a channel on or off for one category. */
  switchCell(category: string, channel: Channel, enabled: boolean): Promise<boolean> {
    return this.#change({ categories: [{ category, channel, enabled }] }, (matrix) => ({
      ...matrix,
      categories: matrix.categories.map((row) =>
        row.category.key === category
          ? { ...row, channels: row.channels.map((cell) => (cell.channel === channel ? { ...cell, enabled } : cell)) }
          : row,
      ),
    }));
  }

  /** Mute a category until a time, or unmute it if the time is null. */
  mute(category: string, until: string | null): Promise<boolean> {
    return this.#change({ categories: [{ category, mutedUntil: until }] }, (matrix) => ({
      ...matrix,
      categories: matrix.categories.map((row) =>
        row.category.key === category ? { ...row, mutedUntil: until } : row,
      ),
    }));
  }

  /** Set how the messages of a category are collected on some channels. Null values clear the choice. */
  collect(category: string, cells: Collected[]): Promise<boolean> {
    const categories = cells.map(({ channel, digest, digestAt, digestDays }) => ({
      category,
      channel,
      ...(digestAt ? { digestAt, digestDays } : digest ? { digest } : { digest, digestAt }),
    }));
    return this.#change({ categories }, (matrix) => ({
      ...matrix,
      categories: matrix.categories.map((row) =>
        row.category.key === category
          ? { ...row, channels: row.channels.map((cell) => ({ ...cell, ...cells.find(({ channel }) => channel === cell.channel) })) }
          : row,
      ),
    }));
  }

  /** Replace all windows of the quiet hours. A window in the user's time zone follows when that changes. */
  setQuietSchedule(windows: QuietWindow[]): Promise<boolean> {
    const quietSchedule = windows.map(({ timezone, ...window }) => ({
      ...window,
      timezone: timezone === this.timezone ? null : timezone,
    }));
    return this.#change({ quietSchedule }, (matrix) => ({ ...matrix, quietSchedule: windows }), "quietFull");
  }

  /** Turn on do-not-disturb until a time, or turn it off if the time is null. */
  setDoNotDisturb(until: string | null): Promise<boolean> {
    return this.#change({ doNotDisturbUntil: until }, (matrix) => ({ ...matrix, doNotDisturbUntil: until }));
  }

  /** Set the number of interruptions per day, or remove the limit if it is null. */
  setDailyLimit(limit: number | null): Promise<boolean> {
    return this.#change({ dailyLimit: limit }, (matrix) => ({ ...matrix, dailyLimit: limit }));
  }

  async remove(device: string): Promise<boolean> {
    const before = this.devices;
    this.devices = before.filter(({ id }) => id !== device);
    this.dispatchEvent(new Event("change"));
    try {
      await this.#hub.mutate(RemoveDevice, { id: device });
      void this.load(); // the user may have no other device for its channel
      this.#tabs.post("changed");
      return true;
    } catch (error) {
      this.devices = before;
      return this.#discard(error);
    } finally {
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Connect a chat, or rename it if it is connected. */
  connectChat(entries: ChatEntries): Promise<boolean> {
    return this.#enqueue(async () => {
      try {
        const { connectChat: device } = await this.#hub.mutate(ConnectChat, entries);
        this.devices = [...this.devices.filter(({ id }) => id !== device.id), device];
        this.dispatchEvent(new Event("change"));
        void this.load(); // its channel can be reached now
        this.#tabs.post("changed");
        return true;
      } catch (error) {
        const { code, field } = error as HubError;
        return this.#discard(error, field === "url" ? "chatInvalid" : code === "TOO_LARGE" ? "chatFull" : "notSaved");
      }
    });
  }

  /** Leave a topic at a time, or come back to it if the time is null. */
  setLeft(key: string, leftAt: string | null): Promise<boolean> {
    const apply = (state: State, at: string | null): State => ({
      ...state,
      topics: state.topics.map((one) => (one.topic.key === key ? { ...one, leftAt: at } : one)),
    });
    return this.#save(
      (state) => apply(state, leftAt),
      async () => {
        const { own } = await this.#hub.mutate(leftAt ? LeaveTopic : RejoinTopic, { topic: key });
        return (state) => apply(state, own.leftAt);
      },
    );
  }

  #change(input: PreferencesInput, apply: (matrix: Matrix) => Matrix, invalid?: Refusal): Promise<boolean> {
    return this.#save(
      (state) => ({ ...state, matrix: apply(state.matrix) }),
      async () => {
        const matrix = (await this.#hub.mutate(UpdatePreferences, { input })).updatePreferences;
        return (state) => ({ ...state, matrix });
      },
      invalid,
    );
  }

  /**
   * Display a change and send it. `send` returns the confirmed change. Resolves to false if the hub refuses the change.
   * `invalid` explains a change that is not valid.
   */
  #save(change: Change, send: () => Promise<Change>, invalid: Refusal = "notSaved"): Promise<boolean> {
    this.#pending.push(change);
    this.dispatchEvent(new Event("change"));
    return this.#enqueue(async () => {
      try {
        const confirm = await send();
        this.#confirmed = confirm(this.#confirmed!);
        this.#tabs.post("changed");
        return true;
      } catch (error) {
        if ((error as HubError).code === "NOT_FOUND") void this.load(); // the tenant has removed the topic
        return this.#discard(error, (error as HubError).code === "BAD_USER_INPUT" ? invalid : "notSaved");
      } finally {
        this.#pending = this.#pending.filter((pending) => pending !== change);
      }
    });
  }

  #enqueue(step: () => Promise<boolean>): Promise<boolean> {
    const done = this.#queue.then(async () => {
      const timer = setTimeout(() => this.#setSlow(true), SLOW_MS);
      const result = await step();
      clearTimeout(timer);
      this.#setSlow(false);
      return result;
    });
    this.#queue = done;
    return done;
  }

  #setSlow(slow: boolean): void {
    this.slow = slow;
    this.dispatchEvent(new Event("change"));
  }

  #discard(error: unknown, refusal: Refusal = "notSaved"): false {
    console.warn("hub: the change was not saved", error);
    this.refusal = refusal;
    this.dispatchEvent(new CustomEvent("refused", { detail: refusal }));
    return false;
  }

  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible") void this.load();
  };
}
