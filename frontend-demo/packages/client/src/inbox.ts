/**
 * The inbox of one user as this page shows it.
 *
 * Items from the hub are stored separately from marks that the hub has not confirmed. The displayed items are computed
 * by applying the marks to the items. To roll back a refused mark, the mark is discarded. Only loaded pages and the
 * feed change items. After the connection was lost, the feed resumes at the last cursor.
 */
import { SystemNotifications } from "./system-notifications";
import { HubError, type HubConnection } from "./connection";
import { CrossTab, type TabMessage } from "./cross-tab";
import { ItemLists } from "./item-lists";
import { emptyList, PINNED, viewOf, type List, type ListQuery } from "./list-query";
import type { MarkRequest } from "./mark-mutations";
import { MarkQueue, type Refusal } from "./mark-queue";
import { InboxFeed, InboxPage, type InboxEvent, type Item } from "./operations";
import { applyBulkEvent, countWithMarks, fillMarkAll, isApplied, isBulk, isMarkAll, isUnread, isUnseen } from "./optimistic-marks";
import { supersedes, views, type Mark, type Verb, type View } from "./optimistic-marks";

export type { Item, Verb, View };

const PAGE_SIZE = 20;
const PAGE_SIZE_MAX = 100;
const PERSIST_DELAY_MS = 500;
const RELOAD_DELAY_MS = 3_000;
const CONFIRMED_MARK_TTL_MS = 10_000; // a confirmed mark without an event in the feed has changed nothing
const FOREIGN_MARK_TTL_MS = 60_000; // the tab that made the mark may be closed

/**
 * Dispatches `change` when the displayed state may have changed, `clock` when the hub's clock was moved, `arrived` with
 * each new item, and `refused` with each mark that was rolled back and the hub's error.
 */
export class Inbox extends EventTarget {
  /** True if a valid token has no inbox, such as a service token. The display is the same as when signed out. */
  forbidden = false;
  readonly hub: HubConnection;
  readonly #tabs: CrossTab;
  readonly #marks = new Map<string, Mark>();
  readonly #loaded = new ItemLists(this.#marks);
  readonly #confirmed = new Set<string>();
  readonly #queue: MarkQueue;
  readonly #systemNotifications = new SystemNotifications((id) => {
    const item = this.find(id);
    return item && isUnread(item);
  });
  readonly #lastEventOf = new Map<string, number>(); // the value of #events by id
  readonly #lists = new Map<ListQuery, List>();
  #shown: ListQuery = "ACTIVE";
  #cursor: string | null = null;
  #events = 0;
  #lastBulkEvent = 0;
  #generation = 0; // responses to requests of an earlier generation are ignored
  #unread = 0;
  #unseen = 0;
  #stop = () => {};
  #persistTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(hub: HubConnection) {
    super();
    this.hub = hub;
    this.#tabs = new CrossTab(hub.endpoint, hub.user, (message) => this.#onTabMessage(message));
    this.#queue = new MarkQueue(hub, {
      confirmed: (key) => this.#onConfirmed(key),
      discarded: (key, refusal) => this.#onDiscarded(key, refusal),
    });
    const snapshot = this.#tabs.load();
    if (snapshot) {
      for (const item of snapshot.items) this.#loaded.set(item);
      [this.#unread, this.#unseen] = [snapshot.unread, snapshot.unseen];
      this.#list("ACTIVE").floor = Math.min(...snapshot.items.map((item) => item.sortKey));
    }
    addEventListener("pagehide", this.#flush, { capture: true }); // before the channel to the other tabs is closed
    hub.addEventListener("status", this.#onStatus);
    hub.addEventListener("clock", this.#onClock);
    void this.#load();
  }

  close(): void {
    this.#closed = true;
    this.#generation++;
    this.#stop();
    this.#flush();
    removeEventListener("pagehide", this.#flush, { capture: true });
    this.hub.removeEventListener("status", this.#onStatus);
    this.hub.removeEventListener("clock", this.#onClock);
    this.#tabs.close();
  }

  /** Remove all data of the user from memory and storage. */
  forget(): void {
    this.#generation++;
    this.#stop();
    this.#marks.clear();
    this.#loaded.clear();
    this.#lists.clear();
    this.#unread = this.#unseen = 0;
    this.#cursor = null;
    clearTimeout(this.#persistTimer);
    this.#tabs.remove();
    this.#changed(false);
  }

  // ------------------------------------------------------------ state

  get now(): number {
    return this.hub.now();
  }

  get unread(): number {
    return countWithMarks(this.#unread, "unread", this.#loaded, this.#marks.values());
  }

  get unseen(): number {
    return countWithMarks(this.#unseen, "unseen", this.#loaded, this.#marks.values());
  }

  /** Return the items of a list, newest first, down to the first gap between pages. `kept`: unread ones stay when read.
   * `withPinned`: also the pinned ones below the gap. */
  items(query: ListQuery, kept?: ReadonlySet<string>, withPinned = false): Item[] {
    const [view, { floor }] = [viewOf(query), this.#list(query)];
    const keeps = !!kept?.size && view === "UNREAD";
    const all = this.#loaded.list(keeps ? "ACTIVE" : view, floor, withPinned ? this.#list(PINNED).floor : floor);
    const items = keeps ? all.filter((item) => isUnread(item) || kept.has(item.id)) : all;
    return typeof query === "string" ? items : items.filter(query.includes);
  }

  list(query: ListQuery): Readonly<Pick<List, "state" | "more">> {
    return this.#list(this.#cursor ? query : "ACTIVE"); // all lists wait for the first page
  }

  #list(query: ListQuery): List {
    if (!this.#lists.has(query)) this.#lists.set(query, this.#newList(query));
    return this.#lists.get(query)!;
  }

  #newList(query: ListQuery): List {
    const isComplete = query === "UNREAD" && !!this.#cursor && this.#loaded.list(query, -Infinity).length >= this.unread;
    if (isComplete) return { ...emptyList(), state: "ready", floor: -Infinity, more: false };
    if (typeof query === "string" || query.found) return emptyList();
    const { state, floor, more } = this.#list(query.view);
    return state === "ready" && !more ? { ...emptyList(), state, floor, more } : { ...emptyList(), floor };
  }

  find(id: string): Item | undefined {
    return this.#loaded.shown.get(id);
  }

  // ------------------------------------------------------------ pages

  /** Select a list, and load its first page if necessary. Searches are not kept. */
  show(query: ListQuery): void {
    if (query !== this.#shown && typeof this.#shown !== "string" && this.#shown.found) this.#lists.delete(this.#shown);
    this.#shown = query;
    if (["new", "failed"].includes(this.#list(query).state)) void this.more(query);
  }

  /** Load the first page or the next one. */
  async more(query: ListQuery, first = PAGE_SIZE): Promise<void> {
    if (!this.#cursor) return this.#list("ACTIVE").state === "failed" ? this.#load() : undefined;
    const list = this.#list(query);
    if (list.state === "loading" || !list.more) return;
    list.state = "loading";
    this.#changed(false);
    try {
      while (!(await this.#loadPage(query, list, first)));
    } catch (error) {
      list.state = "failed";
      console.warn("hub: cannot load a page", error);
    }
    this.#changed();
  }

  /** Return false if a bulk event arrived in the meantime, so the page may be outdated. */
  async #loadPage(query: ListQuery, list: List, first: number): Promise<boolean> {
    const [generation, events] = [this.#generation, this.#events];
    const { filter, found } = typeof query === "string" ? { filter: { view: query } } : query;
    const { inbox: page } = await this.hub.query(InboxPage, { filter, first, after: list.after });
    if (generation !== this.#generation) return true;
    if (this.#lastBulkEvent > events) return false;
    for (const item of page.nodes) {
      found?.add(item.id);
      if ((this.#lastEventOf.get(item.id) ?? 0) <= events) this.#loaded.set(item);
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
    const before = new Map(this.#loaded.items);
    this.#stop();
    this.#cursor = null;
    this.#lastEventOf.clear();
    this.#list("ACTIVE").state = "loading";
    this.#changed(false);
    const list = { ...emptyList() };
    try {
      await this.#loadPage("ACTIVE", list, Math.min(PAGE_SIZE_MAX, Math.max(PAGE_SIZE, shown)));
    } catch (error) {
      if (generation !== this.#generation) return;
      console.warn("hub: no inbox", error);
      this.forbidden = error instanceof HubError && error.code === "FORBIDDEN";
      this.#list("ACTIVE").state = "failed";
      this.#changed(false);
      if (error instanceof HubError && error.transient) this.#loadLater();
      return;
    }
    if (generation !== this.#generation) return;
    this.forbidden = false;
    for (const [id, item] of before) if (this.#loaded.items.get(id) === item) this.#loaded.delete(id);
    for (const key of this.#confirmed) this.#discard(key);
    this.#lists.clear(); // lists that were created before the first page
    this.#lists.set("ACTIVE", list);
    this.#subscribe();
    this.#systemNotifications.closeStale();
    if (this.#shown !== "ACTIVE") void this.more(this.#shown);
    void this.more(PINNED); // a page of at least `PINNED_MAX`
    this.#changed();
  }

  #loadLater(): void {
    const generation = this.#generation;
    setTimeout(() => generation === this.#generation && this.#load(), RELOAD_DELAY_MS);
  }

  // ------------------------------------------------------------ the feed

  #subscribe(): void {
    const inbox = this;
    this.#stop = this.hub.subscribe(
      InboxFeed,
      { get after() { return inbox.#cursor; } },
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
      for (const item of this.#loaded.items.values()) this.#loaded.set(applyBulkEvent(item, kind, at));
      for (const mark of this.#marks.values()) if (supersedes(kind, mark)) this.#discard(mark.key);
    } else if (notification) {
      const { id } = notification;
      this.#lastEventOf.set(id, this.#events);
      if (kind === "REMOVED") this.#loaded.delete(id);
      else this.#loaded.set(notification);
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
    const item = this.#loaded.items.get(id);
    for (const mark of this.#marks.values()) {
      if (!mark.ids.has(id) || (item && !this.#confirmed.has(mark.key) && !isApplied(item, mark))) continue;
      mark.ids.delete(id);
      this.#loaded.update([id]);
      if (!mark.ids.size && !mark.unread && !mark.unseen) this.#discard(mark.key);
    }
  }

  // ------------------------------------------------------------ marks

  /** Show a mark immediately in all tabs of this browser. Marks are sent to the hub one after the other. */
  mark(verb: Verb, ids: string[] = [], until?: string, action?: string): void {
    this.#make({ verb, ids, until, action });
  }

  /** Mark all notifications of a list. Return a function that reverts it for those that were not changed since. */
  markAll(verb: "markAllRead" | "archiveAll", query: ListQuery): () => void {
    const [shownAs, opposite] = verb === "archiveAll" ? (["archive", "unarchive"] as const) : (["markRead", "markUnread"] as const);
    const affected = this.items(query).filter((item) => verb === "archiveAll" || isUnread(item)).map(({ id }) => id);
    const view = typeof query === "string" && verb === "archiveAll" ? query : undefined;
    const request: MarkRequest = { verb, ids: affected, filter: typeof query === "string" ? view && { view } : query.filter };
    this.#make(request, view, typeof query === "string" ? verb : shownAs);
    const ids = viewOf(query) === "SNOOZED" ? [] : affected; // the hub also restores the end of the snooze
    return () => this.#make({ verb: opposite, ids, undoes: request });
  }

  /** `shownAs`: the mark with the same effect on the loaded notifications. */
  #make(request: MarkRequest, view?: View, shownAs = request.verb): void {
    const { ids, until, action } = request;
    const at = new Date(this.now).toISOString();
    const mark: Mark = { key: `${at} ${Math.random()}`, verb: shownAs, ids: new Set(ids), at, until, action, view, unread: 0, unseen: 0 };
    this.#tabs.post({ made: mark });
    this.#addMark(mark);
    this.#queue.add(mark.key, request);
  }

  #onConfirmed(key: string): void {
    this.#confirm(key);
    this.#tabs.post({ confirmed: key });
  }

  #onDiscarded(key: string, refusal?: Refusal): void {
    this.#discard(key);
    this.#tabs.post({ discarded: key });
    if (refusal) this.dispatchEvent(new CustomEvent("refused", { detail: refusal }));
  }

  #onTabMessage(message: TabMessage): void {
    if ("made" in message) {
      this.#addMark(message.made);
      setTimeout(() => this.#discard(message.made.key), FOREIGN_MARK_TTL_MS);
    } else if ("confirmed" in message) this.#confirm(message.confirmed);
    else this.#discard(message.discarded);
  }

  #addMark(mark: Mark): void {
    if (isMarkAll(mark.verb))
      fillMarkAll(mark, { unread: this.#unread, unseen: this.#unseen }, this.#loaded, [...this.#marks.values()]);
    mark.generation = this.#generation;
    this.#marks.set(mark.key, mark);
    this.#loaded.update(mark.ids);
    this.#changed();
  }

  /** Keep a confirmed mark until the feed delivers its effect. */
  #confirm(key: string): void {
    const mark = this.#marks.get(key);
    if (!mark) return;
    const feedEnded = this.#cursor && mark.generation !== this.#generation; // the feed will not deliver the effect
    if (feedEnded && isMarkAll(mark.verb)) return this.#discard(key);
    this.#confirmed.add(key);
    setTimeout(() => this.#discard(key), CONFIRMED_MARK_TTL_MS);
  }

  #discard(key: string): void {
    this.#confirmed.delete(key);
    const mark = this.#marks.get(key);
    if (!mark) return;
    this.#marks.delete(key);
    this.#loaded.update(mark.ids);
    this.#changed();
  }

  readonly #onClock = (): boolean => this.dispatchEvent(new Event("clock"));

  /** A refused token may mean that the user has signed out elsewhere. */
  readonly #onStatus = (): void => {
    if (this.hub.status === "refused") {
      this.forget();
      void this.#load(); // waits for a valid token
    }
  };

  readonly #flush = (): void => {
    this.#persist();
    void this.#queue.flush();
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
    const items = [...this.#loaded.items.values()].filter(views.ACTIVE).sort((a, b) => b.sortKey - a.sortKey);
    const { floor } = this.#list("ACTIVE");
    this.#tabs.save({
      items: items.filter((item) => item.sortKey >= floor).slice(0, PAGE_SIZE),
      unread: this.#unread,
      unseen: this.#unseen,
    });
  };
}
