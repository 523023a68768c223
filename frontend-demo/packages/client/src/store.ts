/** The subscribers of a store, and a snapshot that stays the same object until it changes. */
import type { Client, Member } from "./client";
import type { HubConnection } from "./connection";
import type { Store } from "./types";

/** A value that is computed again only after a change, and replaced only if it differs. */
export class Cached<Value extends object> {
  readonly #compute: () => Value;
  #value: Value;
  #version: number | undefined;

  constructor(initial: Value, compute: () => Value) {
    this.#value = initial;
    this.#compute = compute;
  }

  /** `version` is the number of changes. */
  get(version: number): Value {
    if (version === this.#version) return this.#value;
    this.#version = version;
    const value = this.#compute();
    if (!isEqual(this.#value, value)) this.#value = value;
    return this.#value;
  }
}

/** Return true if two objects or arrays of the same kind have the same members. Members that are arrays are compared. */
function isEqual(a: object, b: object): boolean {
  const [before, after] = [Object.entries(a), b as Record<string, unknown>];
  return (
    before.length === Object.keys(b).length &&
    before.every(([key, value]) => {
      const other = after[key];
      return value === other || (Array.isArray(value) && Array.isArray(other) && isEqual(value, other));
    })
  );
}

/** Is a member of its client while it has subscribers. */
export abstract class ConnectedStore<Snapshot extends object> implements Store<Snapshot>, Member {
  protected readonly client: Client;
  protected version = 0;
  readonly getServerSnapshot: () => Snapshot;
  readonly #listeners = new Set<() => void>();
  readonly #snapshot: Cached<Snapshot>;
  #detach = () => {};

  constructor(client: Client, initial: Snapshot) {
    this.client = client;
    this.getServerSnapshot = () => initial;
    this.#snapshot = new Cached(initial, () => this.computeSnapshot());
  }

  abstract onConnect(hub: HubConnection): void;
  abstract onDisconnect(forget: boolean): void;
  protected abstract computeSnapshot(): Snapshot;

  onStatus(_hub: HubConnection): void {
    this.changed();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const call = () => listener(); // a listener may subscribe twice
    this.#listeners.add(call);
    if (this.#listeners.size === 1) this.#detach = this.client.attach(this);
    return () => {
      if (this.#listeners.delete(call) && !this.#listeners.size) this.#detach();
    };
  };

  readonly getSnapshot = (): Snapshot => this.#snapshot.get(this.version);

  protected readonly changed = (): void => {
    this.version++;
    for (const call of [...this.#listeners]) call();
  };
}

type Listener<Event> = (event: Event) => void;

/** The listeners of events, by the name of the event. */
export class Listeners<Events> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  add<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const call: Listener<Events[Name]> = (event) => listener(event);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(call));
    return () => void listeners.delete(call);
  }

  call<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) (listener as Listener<Events[Name]>)(event);
  }
}
