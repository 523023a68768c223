import { html, LitElement, nothing, type TemplateResult } from "lit";
import type { Item, Verb } from "../client/inbox";
import { isUnread } from "../client/optimistic-marks";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./icons";
import { renderMarkdown } from "./markdown";
import { itemStyles, theme } from "./styles";

type Action = Item["actions"][number];

/** Return the end of a snooze. `now` is in milliseconds on the hub's clock. */
type Until = (now: number) => string;

/** The detail of the event `mark`, which an item sends to the panel. */
export type MarkDetail = { verb: Verb; item: Item; until?: Until };

const MORNING_H = 8;
const MONDAY = 1;

/** Return the absolute URL if it is http or https. Other schemes, such as `javascript:`, could run scripts. */
export function safeUrl(url: string | null | undefined): string | undefined {
  try {
    const { protocol, href } = new URL(url ?? "", document.baseURI);
    return url && /^https?:$/.test(protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}

/** Return the path, as routers expect, if the URL is on the page's origin. Otherwise return the absolute URL. */
function toRouterUrl(url: string | undefined): string | undefined {
  const path = url?.startsWith(`${location.origin}/`) ? url.slice(location.origin.length) : url;
  return path?.startsWith("//") ? url : path;
}

function morningIn(days: number, now: number): string {
  const at = new Date(now);
  at.setDate(at.getDate() + days);
  at.setHours(MORNING_H, 0, 0, 0);
  return at.toISOString();
}

const inAnHour: Until = (now) => new Date(now + 3_600_000).toISOString();
const tomorrow: Until = (now) => morningIn(1, now);
const nextWeek: Until = (now) => morningIn((MONDAY - new Date(now).getDay() + 7) % 7 || 7, now);

/** One notification. Dispatches `mark` to the panel, and `hub-open`, `hub-action`, and `hub-why` to the page. */
export class InboxItem extends LitElement {
  static override styles = [theme, itemStyles];
  static override properties = {
    item: { attribute: false },
    i18n: { attribute: false },
    now: { attribute: false },
    _snoozing: { state: true },
  };
  declare item: Item;
  declare i18n: I18n<Messages>;
  declare now: number;
  declare _snoozing: boolean;

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>(".open")?.focus();
  }

  protected override render(): TemplateResult {
    const { item, i18n } = this;
    const unread = isUnread(item);
    const url = safeUrl(item.actionUrl);
    const image = safeUrl(item.imageUrl);
    const title = html`<bdi>${item.title}</bdi>${unread
      ? html`<span class="hidden"> (${i18n.t("unread")})</span>`
      : nothing}`;
    return html`<article class=${unread ? "unread" : ""} @keydown=${this.#onKey}>
      <span class="dot"></span>
      <div>
        ${url
          ? html`<a class="open" part="title" href=${url} @click=${(event: MouseEvent) => this.#open(event, url)}>${title}</a>`
          : html`<button class="open" part="title" @click=${(event: MouseEvent) => this.#open(event)}>${title}</button>`}
        ${item.body ? this.#body() : nothing}
        ${image ? html`<img src=${image} alt="" loading="lazy" referrerpolicy="no-referrer" />` : nothing}
        ${item.actions.length || item.requireAck
          ? html`<div class="row">${item.actions.map((action) => this.#action(action))}${this.#acknowledge()}</div>`
          : nothing}
        <div class="foot">
          <div class="facts">
            ${item.priority === "CRITICAL" ? html`<span class="urgent">${i18n.t("urgent")}</span>` : nothing}
            ${item.collapsedCount > 1
              ? html`<span>${i18n.plural("collapsed", item.collapsedCount)}</span>`
              : nothing}
            <time datetime=${item.createdAt} title=${i18n.full(item.createdAt)}>${i18n.ago(item.createdAt, this.now)}</time>
            <span><bdi>${item.categoryName}</bdi></span>
            ${item.snoozedUntil
              ? html`<span>${i18n.t("until", { when: i18n.when(item.snoozedUntil, this.now) })}</span>`
              : nothing}
          </div>
          <div class="tools">${this.#tools(unread)}</div>
        </div>
        ${this._snoozing ? this.#snoozeChoices() : nothing}
      </div>
    </article>`;
  }

  #body(): TemplateResult {
    const { body, markdown } = this.item;
    return markdown
      ? html`<div class="body">${renderMarkdown(body, (event, url) => this.#open(event, safeUrl(url)))}</div>`
      : html`<p class="body" dir="auto">${body}</p>`;
  }

  #tools(unread: boolean): TemplateResult {
    const { item } = this;
    return html`${item.archivedAt || item.snoozedUntil
      ? nothing
      : this.#tool(unread ? "markRead" : "markUnread", unread ? icons.read : icons.unread)}
    ${item.snoozedUntil
      ? this.#tool("unsnooze", icons.wake)
      : html`<button
          class="icon"
          data-tool="snooze"
          title=${this.i18n.t("snooze")}
          aria-label="${this.i18n.t("snooze")}: ${item.title}"
          aria-expanded=${Boolean(this._snoozing)}
          @click=${this.#toggleSnooze}
        >${icons.snooze}</button>`}
    ${item.archivedAt ? this.#tool("unarchive", icons.unarchive) : this.#tool("archive", icons.archive)}
    ${customElements.get("hub-preferences") ? this.#why() : nothing}`;
  }

  /** `<hub-preferences>` listens for this event on the document. */
  #why(): TemplateResult {
    const label = this.i18n.t("why");
    const detail = { id: this.item.id };
    return html`<button
      class="icon"
      data-tool="why"
      title=${label}
      aria-label="${label}: ${this.item.title}"
      @click=${(event: MouseEvent) => this.#notifyPage("hub-why", detail, event)}
    >${icons.why}</button>`;
  }

  #tool(verb: "markRead" | "markUnread" | "unsnooze" | "archive" | "unarchive", icon: unknown): TemplateResult {
    const label = this.i18n.t(verb);
    return html`<button
      class="icon"
      data-tool=${verb}
      title=${label}
      aria-label="${label}: ${this.item.title}"
      @click=${() => this.#mark(verb)}
    >${icon}</button>`;
  }

  #snoozeChoices(): TemplateResult {
    const choice = (key: "inAnHour" | "tomorrow" | "nextWeek", until: Until) =>
      html`<button class="pill" @click=${() => this.#mark("snooze", until)}>${this.i18n.t(key)}</button>`;
    return html`<div class="row choices" role="group" aria-label=${this.i18n.t("snoozeUntil")}>
      ${choice("inAnHour", inAnHour)}${choice("tomorrow", tomorrow)}${choice("nextWeek", nextWeek)}
    </div>`;
  }

  #acknowledge(): TemplateResult | typeof nothing {
    const { item, i18n } = this;
    if (!item.requireAck) return nothing;
    return item.acknowledgedAt
      ? html`<span>✓ ${i18n.t("acknowledged")}</span>`
      : html`<button class="pill primary" @click=${() => this.#mark("acknowledge")}>${i18n.t("acknowledge")}</button>`;
  }

  #action(action: Action): TemplateResult {
    const url = safeUrl(action.url);
    const style = action.primary ? "pill primary" : "pill";
    const press = (event: MouseEvent) => {
      if (isUnread(this.item)) this.#mark("markRead");
      this.#notifyPage("hub-action", { notification: this.item, action: action.key, url: toRouterUrl(url) }, event);
    };
    return url
      ? html`<a class=${style} href=${url} dir="auto" @click=${press}>${action.label}</a>`
      : html`<button class=${style} dir="auto" @click=${press}>${action.label}</button>`;
  }

  async #toggleSnooze(): Promise<void> {
    this._snoozing = !this._snoozing;
    await this.updateComplete;
    const first = this._snoozing ? ".choices button" : "[data-tool=snooze]";
    this.renderRoot.querySelector<HTMLElement>(first)?.focus();
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key !== "Escape" || !this._snoozing) return;
    event.preventDefault(); // otherwise the panel closes
    event.stopPropagation();
    void this.#toggleSnooze();
  }

  #open(event: MouseEvent, url?: string): void {
    if (isUnread(this.item)) this.#mark("markRead");
    const opensNewTab = event.ctrlKey || event.metaKey || event.shiftKey;
    if (!opensNewTab) this.#notifyPage("hub-open", { notification: this.item, url: toRouterUrl(url) }, event);
  }

  /** If the page cancels the event, the browser does not follow the link. */
  #notifyPage(name: string, detail: unknown, cause: Event): void {
    const event = new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true });
    if (!this.dispatchEvent(event)) cause.preventDefault();
  }

  #mark(verb: Verb, until?: Until): void {
    this._snoozing = false;
    this.dispatchEvent(new CustomEvent<MarkDetail>("mark", { detail: { verb, item: this.item, until }, bubbles: true }));
  }
}
