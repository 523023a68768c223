/** The preferences of one user for user interfaces of other frameworks. */
import type { Client } from "../client";
import type { HubConnection } from "../connection";
import { ConnectedStore, Listeners } from "../store";
import { PreferencesStore, type Refusal } from "./preferences-store";
import type * as api from "./types";

const INITIAL: api.PreferencesSnapshot = {
  status: "connecting",
  state: "loading",
  preferences: undefined,
  topics: [],
  devices: [],
  timezone: "UTC",
};

export class ConnectedPreferences extends ConnectedStore<api.PreferencesSnapshot> implements api.PreferencesStore {
  #preferences: PreferencesStore | undefined;
  readonly #listeners = new Listeners<{ refused: Refusal }>();

  constructor(client: Client) {
    super(client, INITIAL);
  }

  reload(): Promise<boolean> {
    return this.#store.load();
  }

  switchChannel(channel: api.Channel, enabled: boolean): Promise<boolean> {
    return this.#loaded.switchChannel(channel, enabled);
  }

  switchCategoryChannel(category: string, channel: api.Channel, enabled: boolean): Promise<boolean> {
    return this.#loaded.switchCell(category, channel, enabled);
  }

  mute(category: string, until: string | null): Promise<boolean> {
    return this.#loaded.mute(category, until);
  }

  setDigest(category: string, choices: api.DigestChoice[]): Promise<boolean> {
    return this.#loaded.collect(category, choices);
  }

  setQuietSchedule(windows: api.QuietWindow[]): Promise<boolean> {
    return this.#loaded.setQuietSchedule(windows);
  }

  setDoNotDisturb(until: string | null): Promise<boolean> {
    return this.#loaded.setDoNotDisturb(until);
  }

  setDailyLimit(limit: number | null): Promise<boolean> {
    return this.#loaded.setDailyLimit(limit);
  }

  leaveTopic(key: string): Promise<boolean> {
    return this.#loaded.setLeft(key, new Date(this.client.now()).toISOString());
  }

  rejoinTopic(key: string): Promise<boolean> {
    return this.#loaded.setLeft(key, null);
  }

  removeDevice(id: string): Promise<boolean> {
    return this.#loaded.remove(id);
  }

  connectChat(chat: api.ChatInput): Promise<boolean> {
    return this.#loaded.connectChat(chat);
  }

  on(event: "refused", listener: (reason: Refusal) => void): () => void {
    return this.#listeners.add(event, listener);
  }

  onConnect(hub: HubConnection): void {
    if (hub.status === "refused" || this.#preferences) return;
    const store = (this.#preferences = new PreferencesStore(hub));
    store.addEventListener("change", this.changed);
    store.addEventListener("refused", (event) => this.#listeners.call("refused", (event as CustomEvent<Refusal>).detail));
    void store.load().then(this.changed);
    this.changed();
  }

  onDisconnect(): void {
    this.#preferences?.stop();
    this.#preferences = undefined;
    this.changed();
  }

  override onStatus(hub: HubConnection): void {
    if (hub.status === "refused") this.onDisconnect();
    else if (hub.status === "live") this.onConnect(hub);
    super.onStatus(hub);
  }

  protected override computeSnapshot(): api.PreferencesSnapshot {
    const store = this.#preferences;
    const status = this.client.status;
    if (!store) return { ...INITIAL, status };
    const { matrix, topics, devices, timezone, failed } = store;
    return { status, state: matrix ? "ready" : failed ? "failed" : "loading", preferences: matrix, topics, devices, timezone };
  }

  get #store(): PreferencesStore {
    if (!this.#preferences) throw new Error("The preferences have no user. Subscribe to the store, and wait for a token.");
    return this.#preferences;
  }

  /** The store after the first load, because a change is applied to what is loaded. */
  get #loaded(): PreferencesStore {
    if (!this.#store.matrix) throw new Error("The preferences are not loaded. Wait until `state` is `ready`.");
    return this.#store;
  }
}
