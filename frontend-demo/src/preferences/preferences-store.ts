/**
 * The user's preferences: the state in the hub with the pending changes applied.
 *
 * A change is shown immediately. Changes are sent one after the other, because each response contains the complete
 * state after the change. A refused change is discarded.
 */
import type { HubConnection } from "../client/connection";
import type { HubError } from "../client/errors";
import type { VariablesOf } from "../client/graphql";
import { RemoveDevice } from "../push/subscription";
import { LoadPreferences, UpdatePreferences, type Cell, type Channel, type Device, type Matrix, type QuietWindow } from "./operations";

type PreferencesInput = VariablesOf<typeof UpdatePreferences>["input"];

const SLOW_MS = 3_000;

/** The text that explains a refused change. */
export type Refusal = "notSaved" | "quietFull";

type Collected = Pick<Cell, "channel" | "digest" | "digestAt" | "digestDays">;

interface Change {
  apply(matrix: Matrix): Matrix;
}

/** Dispatches `change` when the displayed state changes, and `refused` with a `Refusal` when a change is discarded. */
export class PreferencesStore extends EventTarget {
  devices: Device[] = [];
  timezone = "UTC";
  failed = false;
  /** True if the hub has not responded for some time. */
  slow = false;

  readonly #hub: HubConnection;
  readonly #tabs: BroadcastChannel;
  #confirmed: Matrix | undefined;
  #pending: Change[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #queuedLoad: Promise<boolean> | undefined;

  constructor(hub: HubConnection) {
    super();
    this.#hub = hub;
    this.#tabs = new BroadcastChannel(`hub-preferences ${hub.endpoint} ${hub.user}`);
    this.#tabs.onmessage = () => void this.load();
    document.addEventListener("visibilitychange", this.#onVisible);
  }

  stop(): void {
    this.#tabs.close();
    document.removeEventListener("visibilitychange", this.#onVisible);
  }

  /** The displayed state, or undefined until it is loaded. */
  get matrix(): Matrix | undefined {
    return this.#confirmed && this.#pending.reduce((matrix, change) => change.apply(matrix), this.#confirmed);
  }

  /** Load everything after pending changes. Calls share a load that has not started. Resolve to false on failure. */
  load(): Promise<boolean> {
    return (this.#queuedLoad ??= this.#enqueue(async () => {
      this.#queuedLoad = undefined;
      try {
        const { preferences, me } = await this.#hub.query(LoadPreferences);
        this.#confirmed = preferences;
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
      this.#tabs.postMessage("changed");
      return true;
    } catch (error) {
      this.devices = before;
      return this.#discard(error);
    } finally {
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Resolves to false if the hub refuses the change. `invalid` explains a change that is not valid. */
  #change(input: PreferencesInput, apply: Change["apply"], invalid: Refusal = "notSaved"): Promise<boolean> {
    const change = { apply };
    this.#pending.push(change);
    this.dispatchEvent(new Event("change"));
    return this.#enqueue(async () => {
      try {
        this.#confirmed = (await this.#hub.mutate(UpdatePreferences, { input })).updatePreferences;
        this.#tabs.postMessage("changed");
        return true;
      } catch (error) {
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
    this.dispatchEvent(new CustomEvent("refused", { detail: refusal }));
    return false;
  }

  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible") void this.load();
  };
}
