/**
 * What a person wants, as the hub has it, with the changes that are under way on top.
 *
 * A change is shown at once and told to the hub one after the other, so that the hub's answer, which is the whole of it,
 * is always of the last one told. What the hub refuses is taken off again.
 */
import type { Hub } from "../hub/connection";
import type { VariablesOf } from "../hub/graphql";
import { Load, Update, type Channel, type Device, type Matrix } from "./operations";
import { Remove } from "../push/subscription";

export type Input = VariablesOf<typeof Update>["input"];

/** Far enough for MongoDB's and everybody's clock. */
export const FOR_EVER = "9999-01-01T00:00:00.000Z";

const SLOW_MS = 3_000;

interface Change {
  apply(matrix: Matrix): Matrix;
}

/** Events: `change` when there is something else to show, `refused` when a change was taken back. */
export class Wishes extends EventTarget {
  devices: Device[] = [];
  failed = false;
  /** The hub has not answered for a while. */
  slow = false;

  readonly #hub: Hub;
  readonly #tabs: BroadcastChannel;
  #known: Matrix | undefined;
  #underWay: Change[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #loading: Promise<boolean> | undefined; // it waits for its turn

  constructor(hub: Hub) {
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

  /** Undefined until it is loaded. */
  get matrix(): Matrix | undefined {
    return this.#known && this.#underWay.reduce((matrix, change) => change.apply(matrix), this.#known);
  }

  /** Once what is under way is told. Who asks while one waits is answered by that. */
  load(): Promise<boolean> {
    return (this.#loading ??= this.#inTurn(async () => {
      this.#loading = undefined;
      try {
        const { preferences, me } = await this.#hub.query(Load);
        this.#known = preferences;
        this.devices = me.devices;
        this.failed = false;
      } catch (error) {
        console.warn("hub: preferences", error);
        this.failed = true;
      }
      return !this.failed;
    }));
  }

  /** A channel for everything. */
  switchChannel(channel: Channel, enabled: boolean): Promise<boolean> {
    return this.#change({ channels: [{ channel, enabled }] }, (matrix) => ({
      ...matrix,
      channels: matrix.channels.map((one) => (one.channel === channel ? { ...one, enabled } : one)),
    }));
  }

  /** A channel for one category. */
  switchCell(category: string, channel: Channel, enabled: boolean): Promise<boolean> {
    return this.#change({ categories: [{ category, channel, enabled }] }, (matrix) => ({
      ...matrix,
      categories: matrix.categories.map((row) =>
        row.category.key === category
          ? { ...row, channels: row.channels.map((one) => (one.channel === channel ? { ...one, enabled } : one)) }
          : row,
      ),
    }));
  }

  /** `until` null ends it. */
  mute(category: string, until: string | null): Promise<boolean> {
    return this.#change({ categories: [{ category, mutedUntil: until }] }, (matrix) => ({
      ...matrix,
      categories: matrix.categories.map((row) =>
        row.category.key === category ? { ...row, mutedUntil: until } : row,
      ),
    }));
  }

  async remove(device: string): Promise<boolean> {
    const before = this.devices;
    this.devices = before.filter(({ id }) => id !== device);
    this.dispatchEvent(new Event("change"));
    try {
      await this.#hub.mutate(Remove, { id: device });
      this.#tabs.postMessage("changed");
      return true;
    } catch (error) {
      this.devices = before;
      return this.#refuse(error);
    } finally {
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Answers whether the hub took it. */
  #change(input: Input, apply: Change["apply"]): Promise<boolean> {
    const change = { apply };
    this.#underWay.push(change);
    this.dispatchEvent(new Event("change"));
    return this.#inTurn(async () => {
      try {
        this.#known = (await this.#hub.mutate(Update, { input })).updatePreferences;
        this.#tabs.postMessage("changed");
        return true;
      } catch (error) {
        return this.#refuse(error);
      } finally {
        this.#underWay = this.#underWay.filter((one) => one !== change);
      }
    });
  }

  #inTurn(step: () => Promise<boolean>): Promise<boolean> {
    const done = this.#last.then(async () => {
      const timer = setTimeout(() => this.#become(true), SLOW_MS);
      const result = await step();
      clearTimeout(timer);
      this.#become(false);
      return result;
    });
    this.#last = done;
    return done;
  }

  #become(slow: boolean): void {
    this.slow = slow;
    this.dispatchEvent(new Event("change"));
  }

  #refuse(error: unknown): false {
    console.warn("hub: not saved", error);
    this.dispatchEvent(new Event("refused"));
    return false;
  }

  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible") void this.load();
  };
}
