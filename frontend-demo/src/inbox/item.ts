import { html, LitElement, nothing, type TemplateResult } from "lit";
import { isUnread } from "../hub/marks";
import type { Item, Verb } from "../hub/inbox";
import type { Language } from "../words/language";
import { icons } from "./icons";
import { itemStyles, theme } from "./styles";

type Action = Item["actions"][number];

/** The end of a snooze, for the current time in milliseconds: the panel knows the hub's clock. */
type Until = (now: number) => string;

/** What an item asks of the panel. */
export type Wish = { verb: Verb; item: Item; until?: Until };

const MORNING_H = 8;
const MONDAY = 1;

/** The address, if it is one that a link may have: anything else could be a script. */
export function safeUrl(url: string | null | undefined): string | undefined {
  try {
    const { protocol, href } = new URL(url ?? "", document.baseURI);
    return url && /^https?:$/.test(protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}

/** As the routers of apps take it: the path where it is of the page's own origin, else the whole address. */
function routed(url: string | undefined): string | undefined {
  const path = url?.startsWith(`${location.origin}/`) ? url.slice(location.origin.length) : url;
  return path?.startsWith("//") ? url : path;
}

function morning(inDays: number, now: number): string {
  const at = new Date(now);
  at.setDate(at.getDate() + inDays);
  at.setHours(MORNING_H, 0, 0, 0);
  return at.toISOString();
}

const inAnHour: Until = (now) => new Date(now + 3_600_000).toISOString();
const tomorrow: Until = (now) => morning(1, now);
const nextWeek: Until = (now) => morning((MONDAY - new Date(now).getDay() + 7) % 7 || 7, now);

/** One notification. Sends `wish` to have a mark made, and `hub-open` and `hub-action` out to the page. */
export class InboxItem extends LitElement {
  static override styles = [theme, itemStyles];
  static override properties = {
    item: { attribute: false },
    language: { attribute: false },
    now: { attribute: false },
    _choosing: { state: true },
  };
  declare item: Item;
  declare language: Language;
  declare now: number;
  declare _choosing: boolean;

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>(".open")?.focus();
  }

  protected override render(): TemplateResult {
    const { item, language } = this;
    const unread = isUnread(item);
    const url = safeUrl(item.actionUrl);
    const image = safeUrl(item.imageUrl);
    const title = html`<bdi>${item.title}</bdi>${unread
      ? html`<span class="hidden"> (${language.say("unread")})</span>`
      : nothing}`;
    return html`<article class=${unread ? "unread" : ""} @keydown=${this.#onKey}>
      <span class="dot"></span>
      <div>
        ${url
          ? html`<a class="open" part="title" href=${url} @click=${(event: MouseEvent) => this.#open(event, url)}>${title}</a>`
          : html`<button class="open" part="title" @click=${(event: MouseEvent) => this.#open(event)}>${title}</button>`}
        ${item.body ? html`<p class="body" dir="auto">${item.body}</p>` : nothing}
        ${image ? html`<img src=${image} alt="" loading="lazy" referrerpolicy="no-referrer" />` : nothing}
        ${item.actions.length || item.requireAck
          ? html`<div class="row">${item.actions.map((action) => this.#action(action))}${this.#acknowledge()}</div>`
          : nothing}
        <div class="foot">
          <div class="facts">
            ${item.priority === "CRITICAL" ? html`<span class="urgent">${language.say("urgent")}</span>` : nothing}
            <time datetime=${item.createdAt} title=${language.whole(item.createdAt)}>${language.ago(item.createdAt, this.now)}</time>
            <span><bdi>${item.categoryName}</bdi></span>
            ${item.snoozedUntil
              ? html`<span>${language.say("until", { when: language.when(item.snoozedUntil, this.now) })}</span>`
              : nothing}
          </div>
          <div class="tools">${this.#tools(unread)}</div>
        </div>
        ${this._choosing ? this.#choices() : nothing}
      </div>
    </article>`;
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
          title=${this.language.say("snooze")}
          aria-label="${this.language.say("snooze")}: ${item.title}"
          aria-expanded=${Boolean(this._choosing)}
          @click=${this.#choose}
        >${icons.snooze}</button>`}
    ${item.archivedAt ? this.#tool("unarchive", icons.unarchive) : this.#tool("archive", icons.archive)}
    ${customElements.get("hub-preferences") ? this.#why() : nothing}`;
  }

  /** `<hub-preferences>` hears it anywhere on the page. */
  #why(): TemplateResult {
    const word = this.language.say("why");
    const detail = { id: this.item.id };
    return html`<button
      class="icon"
      data-tool="why"
      title=${word}
      aria-label="${word}: ${this.item.title}"
      @click=${(event: MouseEvent) => this.#tell("hub-why", detail, event)}
    >${icons.why}</button>`;
  }

  #tool(verb: "markRead" | "markUnread" | "unsnooze" | "archive" | "unarchive", icon: unknown): TemplateResult {
    const word = this.language.say(verb);
    return html`<button
      class="icon"
      data-tool=${verb}
      title=${word}
      aria-label="${word}: ${this.item.title}"
      @click=${() => this.#wish(verb)}
    >${icon}</button>`;
  }

  #choices(): TemplateResult {
    const choice = (word: "inAnHour" | "tomorrow" | "nextWeek", until: Until) =>
      html`<button class="pill" @click=${() => this.#wish("snooze", until)}>${this.language.say(word)}</button>`;
    return html`<div class="row choices" role="group" aria-label=${this.language.say("snoozeUntil")}>
      ${choice("inAnHour", inAnHour)}${choice("tomorrow", tomorrow)}${choice("nextWeek", nextWeek)}
    </div>`;
  }

  #acknowledge(): TemplateResult | typeof nothing {
    const { item, language } = this;
    if (!item.requireAck) return nothing;
    return item.acknowledgedAt
      ? html`<span>✓ ${language.say("acknowledged")}</span>`
      : html`<button class="pill primary" @click=${() => this.#wish("acknowledge")}>${language.say("acknowledge")}</button>`;
  }

  #action(action: Action): TemplateResult {
    const url = safeUrl(action.url);
    const look = action.primary ? "pill primary" : "pill";
    const press = (event: MouseEvent) => {
      if (isUnread(this.item)) this.#wish("markRead");
      this.#tell("hub-action", { notification: this.item, action: action.key, url: routed(url) }, event);
    };
    return url
      ? html`<a class=${look} href=${url} dir="auto" @click=${press}>${action.label}</a>`
      : html`<button class=${look} dir="auto" @click=${press}>${action.label}</button>`;
  }

  async #choose(): Promise<void> {
    this._choosing = !this._choosing;
    await this.updateComplete;
    const first = this._choosing ? ".choices button" : "[data-tool=snooze]";
    this.renderRoot.querySelector<HTMLElement>(first)?.focus();
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key !== "Escape" || !this._choosing) return;
    event.preventDefault(); // the panel stays
    event.stopPropagation();
    void this.#choose();
  }

  #open(event: MouseEvent, url?: string): void {
    if (isUnread(this.item)) this.#wish("markRead");
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // into a tab or window of its own
    if (!elsewhere) this.#tell("hub-open", { notification: this.item, url: routed(url) }, event);
  }

  /** An app with a router of its own cancels it, and the browser does not follow the link. */
  #tell(name: string, detail: unknown, cause: Event): void {
    const told = new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true });
    if (!this.dispatchEvent(told)) cause.preventDefault();
  }

  #wish(verb: Verb, until?: Until): void {
    this._choosing = false;
    this.dispatchEvent(new CustomEvent<Wish>("wish", { detail: { verb, item: this.item, until }, bubbles: true }));
  }
}
