import { html, nothing, type TemplateResult } from "lit";
import type { Item, Verb } from "../../../client/src/inbox";
import { isUnread } from "../../../client/src/optimistic-marks";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";
import { renderMarkdown } from "./markdown";
import { ExportingElement } from "./parts";
import { choicesStyles, snoozeChoices, type Until } from "./snooze";
import { itemStyles } from "./styles";
import { theme } from "./theme";
import { Swipe, swipeStyles } from "./swipe";

type Action = Item["actions"][number];

/** The detail of the event `mark`, which an item sends to the panel. */
export type MarkDetail = { verb: Verb; item: Item; until?: Until; action?: string };

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

/** Return the first letters of the first and the last word of a name. */
function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const ends = words.length > 1 ? [words[0], words.at(-1)] : words;
  return ends.map((word) => [...(word ?? "")][0] ?? "").join("").toLocaleUpperCase();
}

/** One notification. Dispatches `mark` to the panel, and `hub-open`, `hub-action`, and `hub-why` to the page. */
export class InboxItem extends ExportingElement {
  static override styles = [theme, choicesStyles, itemStyles, swipeStyles];
  static override properties = {
    item: { attribute: false },
    i18n: { attribute: false },
    now: { attribute: false },
    current: { attribute: false },
    hasOwnContent: { attribute: false },
    hasUnread: { attribute: false },
    icon: { attribute: false },
    _snoozing: { state: true },
    _brokenAvatar: { state: true },
  };
  declare item: Item;
  declare i18n: I18n<Messages>;
  declare now: number;
  /** True if the Tab key reaches the controls of this item. */
  declare current: boolean;
  /** True if the page renders the content, which is in the slot. */
  declare hasOwnContent: boolean;
  /** True if marking the row as read changes something: the row may stand for a thread. */
  declare hasUnread: boolean;
  /** The URL of the category's image. */
  declare icon: string | undefined;
  declare _snoozing: boolean;
  /** The URL of an avatar that the browser could not load. */
  declare _brokenAvatar: string | undefined;
  readonly #swipe = new Swipe(this);
  #focused: Element | null = null;

  /** Move the focus to the title. */
  override focus(): void {
    this.control(".open")?.focus();
  }

  /** Return the first control that matches the selector. */
  control(selector: string): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>(selector);
  }

  protected override willUpdate(): void {
    this.#focused = (this.renderRoot as ShadowRoot).activeElement;
  }

  protected override updated(): void {
    if (this.#focused?.isConnected === false) this.focus(); // an update removed it, such as the button "Acknowledge"
    for (const control of this.renderRoot.querySelectorAll<HTMLElement>("a, button, input"))
      control.tabIndex = this.current ? 0 : -1;
  }

  protected override render(): TemplateResult {
    const { item, i18n } = this;
    const unread = isUnread(item);
    const url = safeUrl(item.actionUrl);
    const { onPointer } = this.#swipe;
    const title = html`<span class=${this.hasOwnContent ? "hidden" : "title"}><bdi>${item.title}</bdi></span>${unread
      ? html`<span class="hidden"> (${i18n.t("unread")})</span>`
      : nothing}`;
    return html`${this.#swipe.render()}<article
      part="item"
      class=${unread ? "unread" : ""}
      @keydown=${this.#onKey}
      @pointerdown=${onPointer}
      @pointermove=${onPointer}
      @pointerup=${onPointer}
      @pointercancel=${onPointer}
    >
      <span class="dot" part="dot"></span>
      ${this.hasOwnContent ? nothing : this.#picture()}
      <div>
        ${url
          ? html`<a class="open" part="title" href=${url} @click=${(event: MouseEvent) => this.#open(event, url)}>${title}</a>`
          : html`<button class="open" part="title" @click=${(event: MouseEvent) => this.#open(event)}>${title}</button>`}
        ${this.hasOwnContent ? html`<slot></slot>` : this.#content()}
        ${item.actions.length || item.requireAck
          ? html`<div class="row" part="actions">
              ${item.actions.map((action) => this.#action(action))}${this.#acknowledge()}${this.#acted()}
            </div>`
          : nothing}
        <div class="foot">
          <div class="facts" part="facts">
            ${item.pinned
              ? html`<span part="pin" role="img" title=${i18n.t("pinned")}>${icons.pin}</span>`
              : nothing}${this.#priority()}
            ${item.collapsedCount > 1
              ? html`<span>${i18n.plural("collapsed", item.collapsedCount)}</span>`
              : nothing}
            <time part="time" datetime=${item.createdAt} title=${i18n.full(item.createdAt)}>${i18n.ago(item.createdAt, this.now)}</time>
            <span part="category"><bdi>${item.categoryName}</bdi></span>
            ${item.snoozedUntil
              ? html`<span>${i18n.t("until", { when: i18n.when(item.snoozedUntil, this.now) })}</span>`
              : nothing}
          </div>
          <div class="tools" part="tools">${this.#tools()}</div>
        </div>
        ${this._snoozing ? snoozeChoices(i18n, this.now, (until) => this.#mark("snooze", until)) : nothing}
      </div>
    </article>`;
  }

  #priority(): TemplateResult | typeof nothing {
    const { priority } = this.item;
    if (priority === "CRITICAL") return html`<span class="urgent" part="priority">${this.i18n.t("urgent")}</span>`;
    return priority === "HIGH" ? html`<span class="important" part="priority">${this.i18n.t("important")}</span>` : nothing;
  }

  /** The avatar of the actor with the icon of the category, or one of them. */
  #picture(): TemplateResult | typeof nothing {
    const icon = this.icon ? html`<img class="category-icon" part="icon" src=${this.icon} alt="" loading="lazy" />` : nothing;
    return this.icon || this.item.actor ? html`<div class="picture">${this.#avatar()}${icon}</div>` : nothing;
  }

  #avatar(): TemplateResult | typeof nothing {
    const { actor } = this.item;
    if (!actor) return nothing;
    const url = safeUrl(actor.avatarUrl);
    const picture =
      url && url !== this._brokenAvatar
        ? html`<img src=${url} alt="" loading="lazy" referrerpolicy="no-referrer" @error=${() => (this._brokenAvatar = url)} />`
        : initials(actor.name);
    return html`<span class="avatar" part="avatar" role="img" aria-label=${actor.name} title=${actor.name}>${picture}</span>`;
  }

  #content(): TemplateResult {
    const image = safeUrl(this.item.imageUrl);
    return html`${this.item.body ? this.#body() : nothing}
    ${image ? html`<img src=${image} part="image" alt="" loading="lazy" referrerpolicy="no-referrer" />` : nothing}`;
  }

  #body(): TemplateResult {
    const { body, markdown } = this.item;
    return markdown
      ? html`<div class="body" part="body">${renderMarkdown(body, (event, url) => this.#open(event, safeUrl(url)))}</div>`
      : html`<p class="body" part="body" dir="auto">${body}</p>`;
  }

  #tools(): TemplateResult {
    const { item, hasUnread } = this;
    const isActive = !item.archivedAt && !item.snoozedUntil;
    const archive = item.archivedAt ? "unarchive" : "archive";
    const pin = item.pinned ? "unpin" : "pin";
    return html`${isActive ? this.#tool(hasUnread ? "markRead" : "markUnread", hasUnread ? icons.read : icons.unread) : nothing}
    ${item.snoozedUntil ? this.#tool("unsnooze", icons.wake) : this.#tool("snooze", icons.snooze, this.#toggleSnooze, !!this._snoozing)}
    ${this.#tool(archive, icons[archive])}
    ${isActive ? this.#tool(pin, icons[pin]) : nothing}
    ${customElements.get("hub-preferences") ? this.#tool("why", icons.why, this.#askWhy) : nothing}`;
  }

  /** `<hub-preferences>` listens for this event on the document. */
  #askWhy(event: MouseEvent): void {
    this.#notifyPage("hub-why", { id: this.item.id }, event);
  }

  #tool(
    name: "markRead" | "markUnread" | "snooze" | "unsnooze" | "archive" | "unarchive" | "pin" | "unpin" | "why",
    icon: unknown,
    run: (event: MouseEvent) => unknown = () => this.#mark(name as Verb),
    isExpanded?: boolean,
  ): TemplateResult {
    const label = this.i18n.t(name);
    return html`<button
      class="icon"
      part="tool"
      data-tool=${name}
      title=${label}
      aria-label="${label}: ${this.item.title}"
      aria-expanded=${isExpanded ?? nothing}
      @click=${run}
    >${icon}</button>`;
  }

  #acknowledge(): TemplateResult | typeof nothing {
    const { item, i18n } = this;
    if (!item.requireAck) return nothing;
    return item.acknowledgedAt
      ? html`<span>✓ ${i18n.t("acknowledged")}</span>`
      : html`<button class="pill primary" part="action" @click=${() => this.#mark("acknowledge")}>${i18n.t("acknowledge")}</button>`;
  }

  /** An action with a URL is a link. Another one is a choice: after it is made, no other action can be taken. */
  #action(action: Action): TemplateResult {
    const { actedKey } = this.item;
    const url = safeUrl(action.url);
    const taken = action.key === actedKey;
    const closed = !action.url && !!actedKey;
    const style = `pill${action.primary && !closed ? " primary" : ""}${taken ? " taken" : ""}`;
    const label = `${taken ? "✓ " : ""}${action.label}`;
    const press = (event: MouseEvent) => this.#press(action, url, event);
    return url
      ? html`<a class=${style} part="action" href=${url} dir="auto" @click=${press}>${label}</a>`
      : html`<button class=${style} part="action" dir="auto" aria-disabled=${closed} @click=${press}>${label}</button>`;
  }

  /** A button remains focusable after the choice, so the focus is not lost. A page that cancels the event of a link
   * opens it, and one that cancels the event of a choice calls `act` itself. */
  #press(action: Action, url: string | undefined, event: MouseEvent): void {
    if (!action.url && this.item.actedKey) return;
    const detail = { notification: this.item, action: action.key, url: toRouterUrl(url) };
    if (action.url && isUnread(this.item)) this.#mark("markRead");
    const proceeds = this.#notifyPage("hub-action", detail, event);
    if (!action.url && proceeds) this.#mark("act", undefined, action.key);
    else if (isUnread(this.item)) this.#mark("markRead");
  }

  #acted(): TemplateResult | typeof nothing {
    const { actions, actedKey } = this.item;
    if (actions.every(({ url }) => url)) return nothing;
    const label = actions.find(({ key }) => key === actedKey)?.label;
    return html`<span class="hidden" role="status">${label ? this.i18n.t("acted", { action: label }) : nothing}</span>`;
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
    if (this.hasUnread) this.#mark("markRead");
    const opensNewTab = event.ctrlKey || event.metaKey || event.shiftKey;
    if (!opensNewTab) this.#notifyPage("hub-open", { notification: this.item, url: toRouterUrl(url) }, event);
  }

  /** Return false if the page cancels the event. Then the browser does not follow the link. */
  #notifyPage(name: string, detail: unknown, cause: Event): boolean {
    const event = new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true });
    const proceeds = this.dispatchEvent(event);
    if (!proceeds) cause.preventDefault();
    return proceeds;
  }

  #mark(verb: Verb, until?: Until, action?: string): void {
    this._snoozing = false;
    const detail: MarkDetail = { verb, item: this.item, until, action };
    this.dispatchEvent(new CustomEvent("mark", { detail, bubbles: true }));
  }
}
