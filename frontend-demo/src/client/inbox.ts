/**
 * The inbox of one user as this page shows it.
 *
 * Items from the hub are stored separately from marks that the hub has not confirmed. The displayed items are computed
 * by applying the marks to the items. To roll back a refused mark, the mark is discarded. Only loaded pages and the
 * feed change items. After the connection was lost, the feed resumes at the last cursor.
 */
import { SystemNotifications } from "../push/system-notifications";
import { HubError, type HubConnection } from "./connection";
import { CrossTab, type TabMessage } from "./cross-tab";
import { batch, toMutation, type MarkRequest } from "./mark-mutations";
import { InboxFeed, InboxPage, type InboxEvent, type Item } from "./operations";
import { applyBulkEvent, countWithMarks, fillMarkAll, isApplied, isBulk, isUnread, isUnseen } from "./optimistic-marks";
import { supersedes, views, withMarks, type Mark, type Verb, type View } from "./optimistic-marks";

export type { Item, Verb, View };

const PAGE_SIZE = 20;
const PAGE_SIZE_MAX = 100;
const PERSIST_DELAY_MS = 500;
const RELOAD_DELAY_MS = 3_000;
const CONFIRMED_MARK_TTL_MS = 10_000; // a confirmed mark without an event in the feed has changed nothing
const FOREIGN_MARK_TTL_MS = 60_000; // the tab that made the mark may be closed

interface List {
  state: "new" | "loading" | "ready" | "failed";
  /** The lowest sort key that is listed. Items with a lower key may be missing. */
  floor: number;
  after: string | null;
  more: boolean;
}

const emptyList = (): List => ({ state: "new", floor: Infinity, after: null, more: true });
const emptyLists = (): Record<View, List> => {
  return { ACTIVE: emptyList(), UNREAD: emptyList(), SNOOZED: emptyList(), ARCHIVED: emptyList() };
};

/**
 * Dispatches `change` when the displayed state may have changed, `clock` when the hub's clock was moved, `arrived` with
 * each new item, and `refused` with each mark that was rolled back and the hub's error.
 */
export class Inbox extends EventTarget {
  /** True if a valid token has no inbox, such as a service token. The display is the same as when signed out. */
  forbidden = false;
  readonly #hub: HubConnection;
  readonly #tabs: CrossTab;
  readonly #items = new Map<string, Item>();
  readonly #marks = new Map<string, Mark>();
  readonly #confirmed = new Set<string>();
  readonly #pending = new Map<string, { request: MarkRequest; posted: AbortController }>();
  readonly #systemNotifications = new SystemNotifications((id) => {
    const item = this.find(id);
    return item && isUnread(item);
  });
  readonly #lastEventOf = new Map<string, number>(); // the value of #events by id
  #lists = emptyLists();
  #view: View = "ACTIVE";
  #cursor: string | null = null;
  #events = 0;
  #lastBulkEvent = 0;
  #generation = 0; // responses to requests of an earlier generation are ignored
  #unread = 0;
  #unseen = 0;
  #stop = () => {};
  #queue: Promise<unknown> = Promise.resolve();
  #persistTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(hub: HubConnection) {
    super();
    this.#hub = hub;
    this.#tabs = new CrossTab(hub.endpoint, hub.user, (message) => this.#onTabMessage(message));
    const snapshot = this.#tabs.load();
    if (snapshot) {
      for (const item of snapshot.items) this.#items.set(item.id, item);
      [this.#unread, this.#unseen] = [snapshot.unread, snapshot.unseen];
      this.#lists.ACTIVE.floor = Math.min(...snapshot.items.map((item) => item.sortKey));
    }
    addEventListener("pagehide", this.#flushOnUnload);
    hub.addEventListener("status", this.#onStatus);
    hub.addEventListener("clock", this.#onClock);
    void this.#load();
  }

  close(): void {
    this.#closed = true;
    this.#generation++;
    this.#stop();
    void this.#flushOnUnload();
    removeEventListener("pagehide", this.#flushOnUnload);
    this.#hub.removeEventListener("status", this.#onStatus);
    this.#hub.removeEventListener("clock", this.#onClock);
    this.#tabs.close();
  }

  /** Remove all data of the user from memory and storage. */
  forget(): void {
    this.#generation++;
    this.#stop();
    this.#items.clear();
    this.#marks.clear();
    this.#lists = emptyLists();
    this.#unread = this.#unseen = 0;
    this.#cursor = null;
    clearTimeout(this.#persistTimer);
    this.#tabs.remove();
    this.#changed(false);
  }

  // ------------------------------------------------------------ state

  get now(): number {
    return this.#hub.now();
  }

  get unread(): number {
    return countWithMarks(this.#unread, "unread", this.#items, [...this.#marks.values()]);
  }

  get unseen(): number {
    return countWithMarks(this.#unseen, "unseen", this.#items, [...this.#marks.values()]);
  }

  /** Return the items of a view, newest first, down to the first gap between loaded pages. */
  items(view: View): Item[] {
    const { floor } = this.#lists[view];
    const found: Item[] = [];
    for (const original of this.#items.values()) {
      const item = this.#withMarks(original);
      if (item.sortKey >= floor && views[view](item)) found.push(item);
    }
    return found.sort((a, b) => b.sortKey - a.sortKey);
  }

  list(view: View): Readonly<Pick<List, "state" | "more">> {
    return this.#lists[this.#cursor ? view : "ACTIVE"]; // all views wait for the first page
  }

  find(id: string): Item | undefined {
    const item = this.#items.get(id);
    return item && this.#withMarks(item);
  }

  // ------------------------------------------------------------ pages

  /** Select a view, and load its first page if necessary. */
  show(view: View): void {
    this.#view = view;
    if (["new", "failed"].includes(this.#lists[view].state)) void this.more(view);
  }

  /** Load the first page or the next one. */
  async more(view: View): Promise<void> {
    if (!this.#cursor) return this.#lists.ACTIVE.state === "failed" ? this.#load() : undefined;
    const list = this.#lists[view];
    if (list.state === "loading" || !list.more) return;
    list.state = "loading";
    this.#changed(false);
    try {
      while (!(await this.#loadPage(view, list)));
    } catch (error) {
      list.state = "failed";
      console.warn("hub: cannot load a page", error);
    }
    this.#changed();
  }

  /** Return false if a bulk event arrived in the meantime, so the page may be outdated. */
  async #loadPage(view: View, list: List, first = PAGE_SIZE): Promise<boolean> {
    const [generation, events] = [this.#generation, this.#events];
    const { inbox: page } = await this.#hub.query(InboxPage, { view, first, after: list.after });
    if (generation !== this.#generation) return true;
    if (this.#lastBulkEvent > events) return false;
    for (const item of page.nodes) {
      if ((this.#lastEventOf.get(item.id) ?? 0) <= events) this.#items.set(item.id, item);
    }
    list.after = page.pageInfo.endCursor;
    list.more = page.pageInfo.hasNextPage;
    list.floor = list.more ? (page.nodes.at(-1)?.sortKey ?? list.floor) : -Infinity;
    list.state = "ready";
    if (!this.#cursor) {
      this.#cursor = page.position;
      [this.#unread, this.#unseen] = [page.unread, page.unseen];
    }
    return true;
  }

  /** Load the newest page and subscribe to the feed at its position. Items are displayed until they are replaced. */
  async #load(): Promise<void> {
    const generation = ++this.#generation;
    const shown = this.items("ACTIVE").length;
    const before = new Map(this.#items);
    this.#stop();
    this.#cursor = null;
    this.#lastEventOf.clear();
    this.#lists = { ...emptyLists(), ACTIVE: { ...this.#lists.ACTIVE, after: null, state: "loading" } };
    this.#changed(false);
    const list = { ...emptyList() };
    try {
      await this.#loadPage("ACTIVE", list, Math.min(PAGE_SIZE_MAX, Math.max(PAGE_SIZE, shown)));
    } catch (error) {
      if (generation !== this.#generation) return;
      console.warn("hub: no inbox", error);
      this.forbidden = error instanceof HubError && error.code === "FORBIDDEN";
      this.#lists.ACTIVE.state = "failed";
      this.#changed(false);
      if (error instanceof HubError && error.transient) this.#loadLater();
      return;
    }
    if (generation !== this.#generation) return;
    this.forbidden = false;
    for (const [id, item] of before) if (this.#items.get(id) === item) this.#items.delete(id);
    for (const key of this.#confirmed) this.#discard(key);
    this.#lists.ACTIVE = list;
    this.#subscribe();
    this.#systemNotifications.closeStale();
    if (this.#view !== "ACTIVE") void this.more(this.#view);
    this.#changed();
  }

  #loadLater(): void {
    const generation = this.#generation;
    setTimeout(() => generation === this.#generation && this.#load(), RELOAD_DELAY_MS);
  }

  // ------------------------------------------------------------ the feed

  #subscribe(): void {
    const inbox = this;
    this.#stop = this.#hub.subscribe(
      InboxFeed,
      {
        get after() {
          return inbox.#cursor;
        },
      },
      {
        next: ({ inbox: event }) => this.#apply(event),
        error: (error) => {
          console.warn("hub: the feed ended", error);
          this.#loadLater(); // the cursor is not valid
        },
        complete: () => void this.#load(),
      },
    );
  }

  #apply({ kind, cursor, unread, unseen, notification }: InboxEvent): void {
    if (kind === "RESYNC") return; // the feed completes after this event
    this.#events++;
    this.#cursor = cursor;
    [this.#unread, this.#unseen] = [unread, unseen];
    if (isBulk(kind)) {
      this.#lastBulkEvent = this.#events;
      const at = new Date(this.now).toISOString();
      for (const [id, item] of this.#items) this.#items.set(id, applyBulkEvent(item, kind, at));
      for (const mark of this.#marks.values()) if (supersedes(kind, mark.verb)) this.#discard(mark.key);
    } else if (notification) {
      const { id } = notification;
      this.#lastEventOf.set(id, this.#events);
      if (kind === "REMOVED") this.#items.delete(id);
      else this.#items.set(id, notification);
      this.#removeAppliedMarks(id);
      if (kind === "ADDED" && isUnseen(notification)) this.dispatchEvent(new CustomEvent("arrived", { detail: notification }));
    }
    if (kind === "REMOVED") this.#systemNotifications.closeStale((id) => id === notification?.id);
    else if (kind === "ALL_READ" || kind === "ALL_ARCHIVED") this.#systemNotifications.closeStale(() => true);
    else if (!notification || !isUnread(notification)) this.#systemNotifications.closeStale();
    this.#changed();
  }

  /** Remove an item from the marks whose effect the feed has delivered. */
  #removeAppliedMarks(id: string): void {
    const item = this.#items.get(id);
    for (const mark of this.#marks.values()) {
      if (!mark.ids.includes(id) || (item && !this.#confirmed.has(mark.key) && !isApplied(item, mark))) continue;
      mark.ids = mark.ids.filter((other) => other !== id);
      if (!mark.ids.length && !mark.unread && !mark.unseen) this.#discard(mark.key);
    }
  }

  // ------------------------------------------------------------ marks

  /** Show a mark immediately in all tabs of this browser. Marks are sent to the hub one after the other. */
  mark(verb: Verb, ids: string[] = [], until?: string): void {
    const key = `${Date.now()} ${Math.random()}`;
    const mark: Mark = { key, verb, ids, at: new Date(this.now).toISOString(), until, unread: 0, unseen: 0 };
    this.#tabs.post({ made: mark });
    this.#addMark(mark);
    const request: MarkRequest = { verb, ids, until };
    const posted = new AbortController();
    this.#pending.set(key, { request, posted });
    this.#queue = this.#queue.then(() => this.#hub.mutate(...toMutation(request), posted.signal)).then(
      (response) => {
        this.#pending.delete(key);
        const changedNothing = verb.startsWith("markAll") && Object.values(response).every(({ changed }) => !changed);
        if (changedNothing) this.#discard(key);
        else this.#confirm(key);
        this.#tabs.post(changedNothing ? { discarded: key } : { confirmed: key });
      },
      (error: HubError) => {
        if (posted.signal.aborted) return;
        this.#pending.delete(key);
        this.#discard(key);
        this.#tabs.post({ discarded: key });
        this.dispatchEvent(new CustomEvent("refused", { detail: { verb, error } }));
      },
    );
  }

  #onTabMessage(message: TabMessage): void {
    if ("made" in message) {
      this.#addMark(message.made);
      setTimeout(() => this.#discard(message.made.key), FOREIGN_MARK_TTL_MS);
    } else if ("confirmed" in message) this.#confirm(message.confirmed);
    else this.#discard(message.discarded);
  }

  #addMark(mark: Mark): void {
    if (mark.verb.startsWith("markAll"))
      fillMarkAll(mark, { unread: this.#unread, unseen: this.#unseen }, this.#items, [...this.#marks.values()]);
    mark.generation = this.#generation;
    this.#marks.set(mark.key, mark);
    this.#changed();
  }

  /** Keep a confirmed mark until the feed delivers its effect. */
  #confirm(key: string): void {
    const mark = this.#marks.get(key);
    if (!mark) return;
    const feedEnded = this.#cursor && mark.generation !== this.#generation; // the feed will not deliver the effect
    if (feedEnded && mark.verb.startsWith("markAll")) return this.#discard(key);
    this.#confirmed.add(key);
    setTimeout(() => this.#discard(key), CONFIRMED_MARK_TTL_MS);
  }

  #discard(key: string): void {
    this.#confirmed.delete(key);
    if (this.#marks.delete(key)) this.#changed();
  }

  #withMarks(item: Item): Item {
    return withMarks(item, this.#marks.values());
  }

  /** A refused token may mean that the user has signed out elsewhere. */
  readonly #onClock = (): boolean => this.dispatchEvent(new Event("clock"));

  readonly #onStatus = (): void => {
    if (this.#hub.status === "refused") {
      this.forget();
      void this.#load(); // waits for a valid token
    }
  };

  /** Send pending marks in requests that outlive the page. */
  readonly #flushOnUnload = async (): Promise<void> => {
    this.#persist();
    if (!this.#hub.signedIn) return;
    const flushed = [...this.#pending];
    this.#pending.clear();
    for (const [key, { posted }] of flushed) {
      posted.abort();
      this.#confirm(key);
      this.#tabs.post({ confirmed: key });
    }
    try {
      for (const mutation of batch(flushed.map(([, { request }]) => request))) await this.#hub.post(...mutation);
    } catch {
      for (const [key] of flushed) {
        this.#discard(key);
        this.#tabs.post({ discarded: key });
      }
    }
  };

  #changed(persist = true): void {
    if (this.#closed) return;
    this.dispatchEvent(new Event("change"));
    if (!persist) return;
    clearTimeout(this.#persistTimer);
    this.#persistTimer = setTimeout(this.#persist, PERSIST_DELAY_MS);
  }

  /** Store the newest page for the next visit, without unconfirmed marks. */
  readonly #persist = (): void => {
    clearTimeout(this.#persistTimer);
    if (!this.#cursor) return;
    const items = [...this.#items.values()].filter(views.ACTIVE).sort((a, b) => b.sortKey - a.sortKey);
    const { floor } = this.#lists.ACTIVE;
    this.#tabs.save({
      items: items.filter((item) => item.sortKey >= floor).slice(0, PAGE_SIZE),
      unread: this.#unread,
      unseen: this.#unseen,
    });
  };
}
