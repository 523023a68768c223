/** The tabs of the panel: views of the inbox, or filters of the page. */
import { html, nothing, type TemplateResult } from "lit";
import type { Inbox, View } from "../../../client/src/inbox";
import { filteredList, viewOf, type FilteredList, type ListQuery } from "../../../client/src/list-query";
import type { InboxFilter } from "../../../client/src/types";
import type { InboxTab } from "../elements";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";

/** The label of a view, and the title, text, and icon of the empty view. */
export const VIEWS = {
  ACTIVE: ["all", "emptyAll", "emptyAllMore", icons.read],
  UNREAD: ["unread", "emptyUnread", "emptyUnreadMore", icons.readAll],
  ARCHIVED: ["archived", "emptyArchived", "emptyArchivedMore", icons.archive],
  SNOOZED: ["snoozed", "emptySnoozed", "emptySnoozedMore", icons.snooze],
} as const;

const COUNT_MAX = 99;
const COUNT_PAGE_SIZE = COUNT_MAX + 1;

interface Tab {
  id: string;
  /** Default: the label of the view. */
  label?: string;
  filter: InboxFilter;
  query: ListQuery;
  /** The unread notifications of the tab. They are loaded to be counted, because the hub counts the whole inbox. */
  unread?: ListQuery;
}

/** Lists of tabs by their filters. They remain the same if the page sets equal tabs again. */
const lists = new Map<string, FilteredList>();

function listOf(filter: InboxFilter): ListQuery {
  const { view = "ACTIVE", ...parts } = filter;
  if (!Object.keys(parts).length) return view;
  const key = JSON.stringify(filter);
  const list = lists.get(key) ?? filteredList(filter);
  lists.set(key, list);
  return list;
}

function createTab(tab: InboxTab, index: number): Tab {
  if (typeof tab === "string") return { id: tab, filter: { view: tab }, query: tab, unread: tab === "UNREAD" ? tab : undefined };
  const { label, filter = {} } = tab;
  const query = listOf(filter);
  const isCounted = ["ACTIVE", "UNREAD"].includes(viewOf(query));
  return { id: `tab-${index}`, label, filter, query, unread: isCounted ? listOf({ ...filter, view: "UNREAD" }) : undefined };
}

export class Tabs {
  #tabs: Tab[] = [];
  #selected = 0;

  /** Use these tabs. Without any, each view has a tab. */
  set(tabs: readonly InboxTab[] | null | undefined): void {
    const { id } = this.#tabs[this.#selected] ?? {};
    this.#tabs = (tabs?.length ? tabs : (Object.keys(VIEWS) as View[])).map(createTab);
    this.select(id ?? "");
  }

  /** Select a tab. An unknown id selects the first tab. */
  select(id: string): void {
    this.#selected = Math.max(0, this.#tabs.findIndex((tab) => tab.id === id));
  }

  get selected(): Tab {
    return this.#tabs[this.#selected]!;
  }

  /** Return the id of the tab that a key moves to. `forward` is 1 or -1. */
  idAfter(key: string, forward: number): string | undefined {
    const { length } = this.#tabs;
    const to = { ArrowRight: this.#selected + forward, ArrowLeft: this.#selected - forward, Home: 0, End: length - 1 }[key];
    return to === undefined ? undefined : this.#tabs.at(to % length)?.id;
  }

  /** Load what is counted. The feed keeps the counts up to date. */
  load(inbox: Inbox): void {
    for (const { unread } of this.#tabs)
      if (unread && unread !== "UNREAD" && inbox.list(unread).state === "new") void inbox.more(unread, COUNT_PAGE_SIZE);
  }

  render(inbox: Inbox | undefined, i18n: I18n<Messages>, show: (id: string) => void): TemplateResult[] {
    return this.#tabs.map((tab, index) => {
      const isSelected = index === this.#selected;
      const [count, description] = (inbox && tab.unread && countOf(inbox, tab.unread, i18n)) || [];
      return html`<button
        role="tab"
        part="tab"
        id=${tab.id}
        aria-selected=${isSelected}
        aria-controls="list"
        tabindex=${isSelected ? 0 : -1}
        @click=${() => show(tab.id)}
      >${tab.label ?? i18n.t(VIEWS[viewOf(tab.query)][0])}${count ? html`<span class="count" part="tab-count" role="img" aria-label=${description}>${count}</span>` : nothing}</button>`;
    });
  }
}

/** Return the number of unread notifications: "3" and "3 unread", "99+" and "99+ unread", or undefined for none. */
function countOf(inbox: Inbox, unread: ListQuery, i18n: I18n<Messages>): [string, string] | undefined {
  const isView = unread === "UNREAD";
  const loaded = inbox.items(unread).length;
  const count = isView ? inbox.unread : Math.min(loaded, COUNT_MAX);
  const isMore = !isView && (loaded > COUNT_MAX || inbox.list(unread).more);
  const number = i18n.number(count);
  const text = number + (isMore ? "+" : "");
  return count ? [text, i18n.plural("countUnread", count).replace(number, text)] : undefined;
}
