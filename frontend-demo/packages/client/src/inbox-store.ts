/** The inbox of one user for user interfaces of other frameworks. */
import type { Client } from "./client";
import type { HubConnection } from "./connection";
import { Inbox, type Item, type Verb, type View } from "./inbox";
import { PINNED, type ListQuery } from "./list-query";
import { Cached, ConnectedStore, Listeners } from "./store";
import type { HubNotification, InboxSnapshot, InboxStore, ListName, NotificationList, RefusedChange } from "./types";

const INITIAL: InboxSnapshot = { status: "connecting", unread: 0, unseen: 0 };
const EMPTY: NotificationList = { items: [], state: "loading", hasMore: false };

const toQuery = (name: ListName): ListQuery => (name === "PINNED" ? PINNED : name);

interface Events {
  arrived: HubNotification;
  refused: RefusedChange;
}

export class ConnectedInbox extends ConnectedStore<InboxSnapshot> implements InboxStore {
  #inbox: Inbox | undefined;
  readonly #listeners = new Listeners<Events>();
  /** The lists to load. */
  readonly #loads = new Set<ListQuery>();
  readonly #lists: Partial<Record<ListName, Cached<NotificationList>>> = {};

  constructor(client: Client) {
    super(client, INITIAL);
  }

  list(name: ListName): NotificationList {
    return (this.#lists[name] ??= new Cached(EMPTY, () => this.#list(toQuery(name)))).get(this.version);
  }

  load(name: ListName): void {
    this.#loads.add(toQuery(name));
    this.#loadAll();
  }

  loadMore(name: ListName): void {
    this.load(name);
    void this.#inbox?.more(toQuery(name));
  }

  markRead(ids: string[]): void {
    this.#mark("markRead", ids);
  }

  markUnread(ids: string[]): void {
    this.#mark("markUnread", ids);
  }

  markAllRead(): () => void {
    return this.#connected("markAllRead").markAll("markAllRead", "ACTIVE");
  }

  markAllSeen(): void {
    this.#mark("markAllSeen");
  }

  archive(ids: string[]): void {
    this.#mark("archive", ids);
  }

  archiveAll(view: View): () => void {
    return this.#connected("archiveAll").markAll("archiveAll", view);
  }

  unarchive(ids: string[]): void {
    this.#mark("unarchive", ids);
  }

  snooze(ids: string[], until: Date | string): void {
    this.#mark("snooze", ids, new Date(until).toISOString());
  }

  unsnooze(ids: string[]): void {
    this.#mark("unsnooze", ids);
  }

  pin(ids: string[]): void {
    this.#mark("pin", ids);
  }

  unpin(ids: string[]): void {
    this.#mark("unpin", ids);
  }

  acknowledge(ids: string[]): void {
    this.#mark("acknowledge", ids);
  }

  act(id: string, key: string): void {
    this.#mark("act", [id], undefined, key);
  }

  on<Name extends keyof Events>(event: Name, listener: (detail: Events[Name]) => void): () => void {
    return this.#listeners.add(event, listener);
  }

  onConnect(hub: HubConnection): void {
    const inbox = (this.#inbox = new Inbox(hub));
    inbox.addEventListener("change", this.#onChange);
    inbox.addEventListener("arrived", (event) => this.#listeners.call("arrived", (event as CustomEvent<Item>).detail));
    inbox.addEventListener("refused", (event) => this.#listeners.call("refused", (event as CustomEvent<RefusedChange>).detail));
    this.#onChange();
  }

  onDisconnect(forget: boolean): void {
    const inbox = this.#inbox;
    this.#inbox = undefined;
    if (forget) inbox?.forget();
    inbox?.close();
    this.changed();
  }

  protected override computeSnapshot(): InboxSnapshot {
    const status = this.#inbox?.forbidden ? "refused" : this.client.status;
    return { status, unread: this.#inbox?.unread ?? 0, unseen: this.#inbox?.unseen ?? 0 };
  }

  #list(query: ListQuery): NotificationList {
    if (!this.#inbox) return EMPTY;
    const { state, more } = this.#inbox.list(query);
    return { items: this.#inbox.items(query), state: state === "new" ? "loading" : state, hasMore: more };
  }

  readonly #onChange = (): void => {
    this.#loadAll();
    this.changed();
  };

  #loadAll(): void {
    for (const query of this.#loads)
      if (this.#inbox?.list(query).state === "new") void this.#inbox.more(query);
  }

  #mark(verb: Verb, ids: string[] = [], until?: string, action?: string): void {
    this.#connected(verb).mark(verb, ids, until, action);
  }

  #connected(verb: Verb): Inbox {
    if (!this.#inbox) throw new Error(`${verb}: the inbox has no user. Subscribe to the inbox, and wait for a token.`);
    return this.#inbox;
  }
}
