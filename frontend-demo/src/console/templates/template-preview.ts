/** The texts as a recipient gets them, while a person writes. */
import { html, nothing } from "lit";
import { renderMarkdown } from "../../../packages/inbox/src/inbox/markdown";
import { request } from "../client";
import { ConsoleElement, toError } from "../element";
import { HubError } from "../../../packages/client/src/errors";
import type { Form } from "../form";
import { CHANNEL_KEYS, channelName } from "../labels";
import "../preview-frame";
import { sampleOf, toTexts, type Draft } from "./draft";
import { RenderTemplate, type Channel, type Rendered } from "./operations";

const WITHOUT_TITLE = ["SMS", "WHATSAPP"];
const TYPING_MS = 350; // a pause after which the texts are rendered

/** Properties: `form`, `draft` (its values), `locales` (those that the template has). */
class TemplatePreview extends ConsoleElement {
  static override properties = {
    form: { attribute: false },
    draft: { attribute: false },
    locales: { attribute: false },
    rendered: { state: true },
    channel: { state: true },
    locale: { state: true },
    user: { state: true },
    dark: { state: true },
    narrow: { state: true },
    problem: { state: true },
  };

  declare form: Form<Draft>;
  declare draft: Draft;
  declare locales: readonly string[];
  declare private rendered: Rendered | undefined;
  declare private channel: Channel;
  /** "" for the language of the texts. */
  declare private locale: string;
  declare private user: string;
  declare private dark: boolean;
  declare private narrow: boolean;
  declare private problem: string;
  private timer = 0;
  private started = false;
  private rendering = new AbortController();

  constructor() {
    super();
    this.channel = "EMAIL";
    this.locale = "";
    this.user = "";
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.narrow = false;
    this.problem = "";
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
    this.rendering.abort();
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (this.draft.channel) this.channel = this.draft.channel;
    if (!["draft", "channel", "locale", "user"].some((name) => changed.has(name))) return;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.preview(), this.started ? TYPING_MS : 0);
    this.started = true;
  }

  private async preview(): Promise<void> {
    this.rendering.abort();
    const { signal } = (this.rendering = new AbortController());
    const { draft } = this;
    if (!draft.key.trim() || (!draft.title && !draft.subject && !draft.body)) return;
    try {
      const data = sampleOf(draft);
      const variables = {
        template: { key: draft.key.trim(), data },
        draft: toTexts(draft),
        channel: this.channel,
        locale: this.user ? null : this.locale || draft.locale || "en",
        user: this.user || null,
      };
      const { renderTemplate } = await request(RenderTemplate, variables, signal);
      if (signal.aborted) return;
      this.rendered = renderTemplate;
      this.show(undefined);
    } catch (error) {
      if (!signal.aborted) this.show(toError(error));
    }
  }

  /** Show an error at the field that it names. Errors of other texts, or of the recipient, are shown in the preview. */
  private show(error: HubError | undefined): void {
    const atField = error?.field?.startsWith("draft.") || error?.field === "input.sample";
    this.problem = error && !atField ? error.message : "";
    this.form.fail(atField ? error : undefined);
  }

  override render() {
    return html`<section aria-labelledby="preview">
      <h2 id="preview">Preview</h2>
      <div class="filters">
        <label class="field"><span class="hidden">Channel of the preview</span>
          <select ?disabled=${this.draft.channel !== ""} @change=${(event: Event) => (this.channel = (event.target as HTMLSelectElement).value as Channel)}>
            ${CHANNEL_KEYS.map((key) => html`<option value=${key} ?selected=${key === this.channel}>${channelName(key)}</option>`)}
          </select></label>
        ${this.locales.length > 1
          ? html`<label class="field"><span class="hidden">Language of the recipient</span>
              <select @change=${(event: Event) => (this.locale = (event.target as HTMLSelectElement).value)}>
                <option value="">language of the texts</option>
                ${this.locales.map((key) => html`<option value=${key}>recipient: ${key}</option>`)}
              </select></label>`
          : nothing}
        <label class="field"><span class="hidden">As the user with this id</span>
          <input type="text" placeholder="As user (id)" autocomplete="off" spellcheck="false" .value=${this.user}
            @change=${(event: Event) => (this.user = (event.target as HTMLInputElement).value.trim())} /></label>
        ${this.toggle("Dark", this.dark, () => (this.dark = !this.dark))}
        ${this.toggle("Phone", this.narrow, () => (this.narrow = !this.narrow))}
      </div>
      ${this.problem ? html`<p class="notice bad" role="alert">${this.problem}</p>` : nothing}
      ${this.rendered ? this.message(this.rendered) : html`<p class="quiet">The preview appears when the key and a text are filled in.</p>`}
    </section>`;
  }

  private toggle(name: string, on: boolean, onClick: () => void) {
    return html`<button type="button" class=${on ? "pressed" : ""} aria-pressed=${on ? "true" : "false"} @click=${onClick}>${name}</button>`;
  }

  private message(rendered: Rendered) {
    const { subject, title, preheader, html: email, body, markdown, actionUrl, imageUrl, actions } = rendered;
    const isEmail = this.channel === "EMAIL";
    const heading = WITHOUT_TITLE.includes(this.channel) ? null : isEmail ? (subject ?? title) : title;
    return html`<div class="preview ${this.dark ? "dark" : "light"} ${this.narrow ? "narrow" : ""}">
      ${heading ? html`<p class="content-title" data-part="title"><bdi>${heading}</bdi></p>` : nothing}
      ${isEmail && preheader ? html`<p class="quiet small"><bdi>${preheader}</bdi></p>` : nothing}
      ${isEmail && email
        ? html`<preview-frame .content=${email} label="Email" ?dark=${this.dark} ?narrow=${this.narrow}></preview-frame>`
        : html`<div class="preview-body" data-part="body">${markdown ? renderMarkdown(body, (event) => event.preventDefault()) : html`<bdi>${body}</bdi>`}</div>
            ${actions.length
              ? html`<p class="chips">${actions.map(({ label, primary }) => html`<span class="chip ${primary ? "good" : ""}"><bdi>${label}</bdi></span>`)}</p>`
              : nothing}`}
    </div>
    ${actionUrl ? html`<p class="quiet small">Opens <code>${actionUrl}</code></p>` : nothing}
    ${imageUrl ? html`<p class="quiet small">Image: <code>${imageUrl}</code></p>` : nothing}
    ${isEmail ? html`<p class="quiet small">${email ? "Images of other sites are not loaded." : "The email layout adds the name, logo, and color of the tenant."}</p>` : nothing}`;
  }
}

customElements.define("template-preview", TemplatePreview);
