/**
 * One person's inbox, as this page knows it.
 *
 * What the hub said is kept apart from marks that were made here and that it has not told of yet: what is shown is the
 * one with the other laid over it. So a refused mark rolls back by being dropped, and nothing has to be put back. Only
 * pages and the feed change what is known. The feed goes on after the last cursor over every loss of the connection.
 */
import { closeBanners } from "../push/banners";
import { HubError, type Hub } from "./connection";
import { counted, fulfils, isAll, isUnread, isUnseen, layOverAll, overlaid, satisfied, swept, views } from "./marks";
import type { Mark, Verb, View } from "./marks";
import { Feed, Page, type Change, type Item } from "./operations";
import { requestOf, together, type Wish } from "./requests";
import { Tabs, type Word } from "./tabs";

export type { Item, Verb, View };

const PAGE = 20;
const PAGE_MAX = 100;
const KEEP_AFTER_MS = 500;
const TIDY_AFTER_MS = 100;
const BEGIN_AGAIN_MS = 3_000;
const TAKEN_MAX_MS = 10_000; // a mark that was taken and of which the feed does not tell changed nothing
const FOREIGN_MAX_MS = 60_000; // a mark of another tab, which may be gone

interface List {
  state: "new" | "loading" | "ready" | "failed";
  /** What lies deeper is not listed: there may be gaps in what is known of it. */
  floor: number;
  after: string | null;
  more: boolean;
}

const emptyList = (): List => ({ state: "new", floor: Infinity, after: null, more: true });
const emptyLists = (): Record<View, List> => {
  return { ACTIVE: emptyList(), UNREAD: emptyList(), SNOOZED: emptyList(), ARCHIVED: emptyList() };
};

/**
 * Events: `change` whenever anything shown may differ, `arrived` with the items that just came, `refused` with the mark
 * that was rolled back and the hub's error.
 */
export class Inbox extends EventTarget {
  /** The token is good and has no inbox, as one of a service: as if nobody were signed in. */
  forbidden = false;
  readonly #hub: Hub;
  readonly #tabs: Tabs;
  readonly #known = new Map<string, Item>();
  readonly #marks = new Map<string, Mark>();
  readonly #taken = new Set<string>();
  readonly #unanswered = new Map<string, { wish: Wish; posted: AbortController }>();
  readonly #touched = new Map<string, number>(); // by id: the count of events when the feed last told of it
  #lists = emptyLists();
  #view: View = "ACTIVE";
  #cursor: string | null = null;
  #events = 0;
  #sweptAt = 0;
  #life = 0; // what was asked in an earlier one does not count any more
  #unread = 0;
  #unseen = 0;
  #gone: ((id: string) => boolean)[] = []; // what changes of this moment say of banners
  #stop = () => {};
  #tail: Promise<unknown> = Promise.resolve();
  #keepTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(hub: Hub) {
    super();
    this.#hub = hub;
    this.#tabs = new Tabs(hub.endpoint, hub.user, (word) => this.#hear(word));
    const kept = this.#tabs.kept();
    if (kept) {
      for (const item of kept.items) this.#known.set(item.id, item);
      [this.#unread, this.#unseen] = [kept.unread, kept.unseen];
      this.#lists.ACTIVE.floor = Math.min(...kept.items.map((item) => item.sortKey));
    }
    addEventListener("pagehide", this.#leave);
    hub.addEventListener("status", this.#onStatus);
    void this.#begin();
  }

  close(): void {
    this.#closed = true;
    this.#life++;
    this.#stop();
    void this.#leave();
    removeEventListener("pagehide", this.#leave);
    this.#hub.removeEventListener("status", this.#onStatus);
    this.#tabs.close();
  }

  /** Nothing of it may be shown to whoever comes next. */
  forget(): void {
    this.#life++;
    this.#stop();
    this.#known.clear();
    this.#marks.clear();
    this.#lists = emptyLists();
    this.#unread = this.#unseen = 0;
    this.#cursor = null;
    clearTimeout(this.#keepTimer);
    this.#tabs.forget();
    this.#changed(false);
  }

  // ------------------------------------------------------------ what is shown

  get now(): number {
    return this.#hub.now();
  }

  get unread(): number {
    return counted(this.#unread, "unread", this.#known, [...this.#marks.values()]);
  }

  get unseen(): number {
    return counted(this.#unseen, "unseen", this.#known, [...this.#marks.values()]);
  }

  /** Newest first, without gaps, as far down as pages were loaded. */
  items(view: View): Item[] {
    const { floor } = this.#lists[view];
    const found: Item[] = [];
    for (const known of this.#known.values()) {
      const item = this.#shown(known);
      if (item.sortKey >= floor && views[view](item)) found.push(item);
    }
    return found.sort((one, other) => other.sortKey - one.sortKey);
  }

  list(view: View): Readonly<Pick<List, "state" | "more">> {
    return this.#lists[this.#cursor ? view : "ACTIVE"]; // until the first page is there, all views wait for that
  }

  find(id: string): Item | undefined {
    const known = this.#known.get(id);
    return known && this.#shown(known);
  }

  // ------------------------------------------------------------ pages

  /** This view is looked at: its first page is loaded if need be. */
  show(view: View): void {
    this.#view = view;
    if (["new", "failed"].includes(this.#lists[view].state)) void this.more(view);
  }

  /** One page more, or the first. */
  async more(view: View): Promise<void> {
    if (!this.#cursor) return this.#lists.ACTIVE.state === "failed" ? this.#begin() : undefined;
    const list = this.#lists[view];
    if (list.state === "loading" || !list.more) return;
    list.state = "loading";
    this.#changed(false);
    try {
      while (!(await this.#load(view, list)));
    } catch (error) {
      list.state = "failed";
      console.warn("hub: no page", error);
    }
    this.#changed();
  }

  async #load(view: View, list: List, first = PAGE): Promise<boolean> {
    const [life, events] = [this.#life, this.#events];
    const { inbox: page } = await this.#hub.query(Page, { view, first, after: list.after });
    if (life !== this.#life) return true;
    if (this.#sweptAt > events) return false; // all changed meanwhile, and the page may not know
    for (const item of page.nodes) {
      if ((this.#touched.get(item.id) ?? 0) <= events) this.#known.set(item.id, item);
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

  /** Loads the newest, and follows the feed from there. What was shown stays until it is replaced. */
  async #begin(): Promise<void> {
    const life = ++this.#life;
    const shown = this.items("ACTIVE").length;
    const before = new Map(this.#known);
    this.#stop();
    this.#cursor = null;
    this.#touched.clear();
    this.#lists = { ...emptyLists(), ACTIVE: { ...this.#lists.ACTIVE, after: null, state: "loading" } };
    this.#changed(false);
    const list = { ...emptyList() };
    try {
      await this.#load("ACTIVE", list, Math.min(PAGE_MAX, Math.max(PAGE, shown)));
    } catch (error) {
      if (life !== this.#life) return;
      console.warn("hub: no inbox", error);
      this.forbidden = error instanceof HubError && error.code === "FORBIDDEN";
      this.#lists.ACTIVE.state = "failed";
      this.#changed(false);
      if (error instanceof HubError && error.transient) this.#beginLater();
      return;
    }
    if (life !== this.#life) return;
    this.forbidden = false;
    for (const [id, item] of before) if (this.#known.get(id) === item) this.#known.delete(id);
    for (const key of this.#taken) this.#drop(key);
    this.#lists.ACTIVE = list;
    this.#follow();
    this.#tidy();
    if (this.#view !== "ACTIVE") void this.more(this.#view);
    this.#changed();
  }

  #beginLater(): void {
    const life = this.#life;
    setTimeout(() => life === this.#life && this.#begin(), BEGIN_AGAIN_MS);
  }

  // ------------------------------------------------------------ the feed

  #follow(): void {
    const inbox = this;
    this.#stop = this.#hub.subscribe(
      Feed,
      {
        get after() {
          return inbox.#cursor;
        },
      },
      {
        next: ({ inbox: change }) => this.#apply(change),
        error: (error) => {
          console.warn("hub: the feed ended", error);
          this.#beginLater(); // a cursor that it does not know
        },
        complete: () => void this.#begin(),
      },
    );
  }

  #apply({ kind, cursor, unread, unseen, notification }: Change): void {
    if (kind === "RESYNC") return; // the feed completes
    this.#events++;
    this.#cursor = cursor;
    [this.#unread, this.#unseen] = [unread, unseen];
    if (isAll(kind)) {
      this.#sweptAt = this.#events;
      const at = new Date(this.now).toISOString();
      for (const [id, item] of this.#known) this.#known.set(id, swept(item, kind, at));
      for (const mark of this.#marks.values()) if (fulfils(kind, mark.verb)) this.#drop(mark.key);
    } else if (notification) {
      const { id } = notification;
      this.#touched.set(id, this.#events);
      if (kind === "REMOVED") this.#known.delete(id);
      else this.#known.set(id, notification);
      this.#settle(id);
      if (kind === "ADDED" && isUnseen(notification)) this.dispatchEvent(new CustomEvent("arrived", { detail: notification }));
    }
    if (kind === "REMOVED") this.#tidy((id) => id === notification?.id);
    else if (kind === "ALL_READ" || kind === "ALL_ARCHIVED") this.#tidy(() => true);
    else if (!notification || !isUnread(notification)) this.#tidy();
    this.#changed();
  }

  /** The feed has told of it: marks that it fulfils are laid over it no longer. */
  #settle(id: string): void {
    const item = this.#known.get(id);
    for (const mark of this.#marks.values()) {
      if (!mark.ids.includes(id) || (item && !this.#taken.has(mark.key) && !satisfied(item, mark))) continue;
      mark.ids = mark.ids.filter((other) => other !== id);
      if (!mark.ids.length && !mark.unread && !mark.unseen) this.#drop(mark.key);
    }
  }

  /** Closes the banners of what is not waiting to be read, once for all that comes together; `gone`: of what is unknown. */
  #tidy(gone: (id: string) => boolean = () => false): void {
    if (this.#gone.push(gone) > 1) return;
    setTimeout(() => {
      const told = this.#gone.splice(0);
      void closeBanners((id) => {
        const item = this.find(id);
        return item ? !isUnread(item) : told.some((gone) => gone(id));
      });
    }, TIDY_AFTER_MS);
  }

  /** Shown at once, everywhere in this browser. They reach the hub one after the other. */
  mark(verb: Verb, ids: string[] = [], until?: string): void {
    const key = `${Date.now()} ${Math.random()}`;
    const mark: Mark = { key, verb, ids, at: new Date(this.now).toISOString(), until, unread: 0, unseen: 0 };
    this.#tabs.tell({ made: mark });
    this.#lay(mark);
    const wish: Wish = { verb, ids, until };
    const posted = new AbortController();
    this.#unanswered.set(key, { wish, posted });
    this.#tail = this.#tail.then(() => this.#hub.mutate(...requestOf(wish), posted.signal)).then(
      (answer) => {
        this.#unanswered.delete(key);
        const idle = verb.startsWith("markAll") && Object.values(answer).every(({ changed }) => !changed);
        if (idle) this.#drop(key);
        else this.#take(key);
        this.#tabs.tell(idle ? { dropped: key } : { taken: key });
      },
      (error: HubError) => {
        if (posted.signal.aborted) return;
        this.#unanswered.delete(key);
        this.#drop(key);
        this.#tabs.tell({ dropped: key });
        this.dispatchEvent(new CustomEvent("refused", { detail: { verb, error } }));
      },
    );
  }

  #hear(word: Word): void {
    if ("made" in word) {
      this.#lay(word.made);
      setTimeout(() => this.#drop(word.made.key), FOREIGN_MAX_MS);
    } else if ("taken" in word) this.#take(word.taken);
    else this.#drop(word.dropped);
  }

  #lay(mark: Mark): void {
    if (mark.verb.startsWith("markAll"))
      layOverAll(mark, { unread: this.#unread, unseen: this.#unseen }, this.#known, [...this.#marks.values()]);
    mark.life = this.#life;
    this.#marks.set(mark.key, mark);
    this.#changed();
  }

  #take(key: string): void {
    const mark = this.#marks.get(key);
    if (!mark) return;
    const overtaken = this.#cursor && mark.life !== this.#life; // the feed that would tell of it has ended
    if (overtaken && mark.verb.startsWith("markAll")) return this.#drop(key);
    this.#taken.add(key);
    setTimeout(() => this.#drop(key), TAKEN_MAX_MS);
  }

  #drop(key: string): void {
    this.#taken.delete(key);
    if (this.#marks.delete(key)) this.#changed();
  }

  #shown(item: Item): Item {
    return overlaid(item, this.#marks.values());
  }

  /** A token that the hub refuses may be one of somebody who has signed out. */
  readonly #onStatus = (): void => {
    if (this.#hub.status === "refused") {
      this.forget();
      void this.#begin(); // waits for a better one
    }
  };

  /** The page goes: marks that are still on their way go by themselves. */
  readonly #leave = async (): Promise<void> => {
    this.#keep();
    if (!this.#hub.signedIn) return;
    const going = [...this.#unanswered];
    this.#unanswered.clear();
    for (const [key, { posted }] of going) {
      posted.abort();
      this.#take(key);
      this.#tabs.tell({ taken: key });
    }
    try {
      for (const request of together(going.map(([, { wish }]) => wish))) await this.#hub.post(...request);
    } catch {
      for (const [key] of going) {
        this.#drop(key);
        this.#tabs.tell({ dropped: key });
      }
    }
  };

  #changed(keep = true): void {
    if (this.#closed) return;
    this.dispatchEvent(new Event("change"));
    if (!keep) return;
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(this.#keep, KEEP_AFTER_MS);
  }

  readonly #keep = (): void => {
    clearTimeout(this.#keepTimer);
    if (!this.#cursor) return;
    const items = [...this.#known.values()].filter(views.ACTIVE).sort((one, other) => other.sortKey - one.sortKey);
    const { floor } = this.#lists.ACTIVE;
    this.#tabs.keep({
      items: items.filter((item) => item.sortKey >= floor).slice(0, PAGE),
      unread: this.#unread,
      unseen: this.#unseen,
    });
  };
}
