/** The search in the tab that is shown, for words and by category. The hub searches the titles and texts. */
import { css, html, nothing, type LitElement, type TemplateResult } from "lit";
import { graphql } from "../../../client/src/graphql";
import type { Inbox } from "../../../client/src/inbox";
import { filteredList, type FilteredList } from "../../../client/src/list-query";
import type { InboxFilter } from "../../../client/src/types";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";

const TYPING_MS = 300; // the pause after which a text is searched
const SEARCH_MAX_CHARS = 256; // the hub's limit

const CategoryNames = graphql(`query CategoryNames { preferences { categories { category { key name } } } }`);

export const searchStyles = css`
  .search { display: flex; gap: 8px; padding: 8px 12px; border-block-end: 1px solid var(--border); }
  .search :is(input, select) {
    min-width: 0;
    min-height: max(34px, var(--touch));
    padding-inline: 10px;
    border: 1px solid var(--border);
    border-radius: 8px;
    background: var(--raised);
    color: var(--text);
    font: inherit;
  }
  .search input { flex: 1; }
  .search select { max-width: 45%; }
  .search ::-webkit-search-cancel-button { filter: grayscale(1); }
  .search ::placeholder { color: var(--muted); opacity: 1; }
  @media (pointer: coarse) {
    .search :is(input, select) { font-size: max(16px, 1em); } /* otherwise phones zoom in */
  }
`;

export class Search {
  isOpen = false;
  /** The list of what matches. Undefined without words and category. */
  found: FilteredList | undefined;
  readonly #host: LitElement;
  readonly #onSearch: () => void;
  #words = "";
  #category = "";
  #categories: { key: string; name: string }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: LitElement, onSearch: () => void) {
    this.#host = host;
    this.#onSearch = onSearch;
  }

  /** Show the form, and move the focus to it. */
  open(inbox: Inbox | undefined): void {
    if (!this.isOpen && inbox) void this.#loadCategories(inbox);
    this.isOpen = true;
    this.#host.requestUpdate();
    void this.#host.updateComplete.then(() => this.#host.renderRoot.querySelector<HTMLElement>(".search input")?.focus());
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#words = this.#category = "";
    this.searchIn({});
  }

  /** Search in another tab. */
  searchIn(filter: InboxFilter): void {
    clearTimeout(this.#timer);
    const { search = "", categories } = filter;
    const words = `${search} ${this.#words}`.trim();
    const isFiltered = this.#words.trim() || this.#category;
    this.found = isFiltered
      ? filteredList({ ...filter, search: words, categories: this.#category ? [this.#category] : categories })
      : undefined;
    this.#onSearch();
  }

  /** Return the number of notifications that were found, for screen readers. */
  describe(i18n: I18n<Messages>, count: number, list: ReturnType<Inbox["list"]> | undefined): string {
    if (!this.found || list?.state !== "ready") return "";
    return i18n.plural("found", count).replace(i18n.number(count), i18n.number(count) + (list.more ? "+" : ""));
  }

  render(i18n: I18n<Messages>, filter: InboxFilter): TemplateResult | typeof nothing {
    if (!this.isOpen) return nothing;
    const choices = this.#categories.filter(({ key }) => !filter.categories?.length || filter.categories.includes(key));
    return html`<form class="search" part="search" role="search" aria-label=${i18n.t("search")} @submit=${(event: Event) => event.preventDefault()} @keydown=${this.#onKey}>
      <input
        type="search"
        maxlength=${SEARCH_MAX_CHARS}
        placeholder=${i18n.t("searchTexts")}
        aria-label=${i18n.t("searchTexts")}
        .value=${this.#words}
        @input=${(event: InputEvent) => this.#type((event.target as HTMLInputElement).value, filter)}
      />
      ${choices.length > 1
        ? html`<select aria-label=${i18n.t("category")} @change=${(event: Event) => this.#choose((event.target as HTMLSelectElement).value, filter)}>
            <option value="">${i18n.t("allCategories")}</option>
            ${choices.map(({ key, name }) => html`<option value=${key} .selected=${key === this.#category}>${name}</option>`)}
          </select>`
        : nothing}
    </form>`;
  }

  async #loadCategories(inbox: Inbox): Promise<void> {
    try {
      const { preferences } = await inbox.hub.query(CategoryNames);
      this.#categories = preferences.categories.map(({ category }) => category);
      this.#host.requestUpdate();
    } catch (error) {
      console.warn("hub: no categories", error); // the user can search for words
    }
  }

  #type(text: string, filter: InboxFilter): void {
    this.#words = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.searchIn(filter), TYPING_MS);
  }

  #choose(category: string, filter: InboxFilter): void {
    this.#category = category;
    this.searchIn(filter);
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    event.stopPropagation(); // the keys are not shortcuts of the panel
    if (event.key !== "Escape") return;
    event.preventDefault(); // otherwise the panel closes
    this.close();
    this.#host.renderRoot.querySelector<HTMLElement>("[data-tool=search]")?.focus();
  };
}
