/** The editor of a template: the texts for one language and channel, with a preview, versions, and a test. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { Form } from "../form";
import { CHANNEL_KEYS, channelName } from "../labels";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { EMPTY_DRAFT, sampleOf, samples, toDraft, toTexts, unsaved, unsavedNew, type Draft } from "./draft";
import { DeleteTemplate, Template, Templates, UpsertTemplate, type Channel, type Template as Texts, type TemplateRow } from "./operations";
import { textFields } from "./template-fields";
import "./template-preview";
import { variantName } from "./templates-page";
import "./template-versions";
import "./test-dialog";

class TemplatePage extends ActingElement {
  static override properties = {
    itemId: {},
    params: { attribute: false },
    variants: { state: true },
    texts: { state: true },
    testing: { state: true },
  };

  declare itemId: string;
  declare params: URLSearchParams;
  /** The languages and channels that have texts. */
  declare private variants: readonly TemplateRow[] | undefined;
  /** The stored texts. Null for new texts. */
  declare private texts: Texts | null | undefined;
  declare private testing: boolean;
  private readonly form = new Form<Draft>(this, EMPTY_DRAFT);

  constructor() {
    super();
    this.form.onChange = () => this.keep(this.form.values);
  }

  override updated(changed: Map<string, unknown>): void {
    const before = changed.get("params") as URLSearchParams | undefined;
    if (before && ["locale", "channel", "new"].some((name) => before.get(name) !== this.params.get(name))) void this.reload();
  }

  private get isNew(): boolean {
    return this.params.has("new");
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const variants = this.itemId ? (await request(Templates, { key: this.itemId }, signal)).templates : [];
    const locale = this.params.get("locale");
    const channel = this.params.get("channel");
    const chosen = variants.find((one) => one.locale === locale && one.channel === channel) ?? variants[0];
    const found = chosen
      ? (await request(Template, { key: chosen.key, locale: chosen.locale, channel: chosen.channel }, signal)).template
      : null;
    this.variants = variants;
    this.texts = this.isNew ? null : found;
    const stored = found ? toDraft(found) : EMPTY_DRAFT;
    const draft = this.isNew ? { ...stored, key: this.itemId, channel: "" as const, locale: found ? "" : "en" } : stored;
    this.form.reset((this.isNew ? unsavedNew.get(this.itemId) : unsaved.get(draft)) ?? draft);
  }

  override render() {
    const { variants, texts } = this;
    if (!variants) return html`${pageHeading(this.itemId || "New template")} ${this.error ? this.errorMessage() : skeleton()}`;
    if (texts === null && !this.isNew)
      return html`${pageHeading(this.itemId)} ${emptyState(
        "This template does not exist.",
        html`<a href=${address("templates", this.itemId, { new: "1" })}>Create it</a>`,
      )}`;
    return html`${pageHeading(
        this.itemId ? html`<bdi>${this.itemId}</bdi>` : "New template",
        html`${texts ? html`<span class="badge">version ${texts.version}</span>` : nothing}
          ${this.isChanged ? html`<span class="badge wait">unsaved changes</span>` : nothing}
          ${texts ? this.actions(texts) : nothing}`,
      )}
      ${this.itemId ? this.variantLinks(variants) : nothing} ${this.feedback()} ${this.errorMessage()}
      <div class="editor">
        <form class="card form" aria-label="Texts" @submit=${this.save}>
          ${this.identity(texts)} ${textFields(this.form)}
          ${this.form.rest()}
          <div class="form-actions">
            ${may("admin")
              ? html`<button class="main" ?disabled=${this.form.busy || (!this.isChanged && !this.isNew)}>Save</button>`
              : html`<p class="quiet small">Your role may not save changes. The preview shows them.</p>`}
            ${this.isChanged ? html`<button type="button" @click=${this.discard}>Discard changes</button>` : nothing}
          </div>
        </form>
        <template-preview
          class="card"
          .form=${this.form}
          .draft=${this.form.values}
          .locales=${[...new Set(variants.map(({ locale }) => locale))]}
        ></template-preview>
      </div>
      ${texts ? html`<template-versions class="card" .texts=${texts} .params=${this.params} @reverted=${this.onReverted}></template-versions>` : nothing}
      ${this.testing && texts
        ? html`<test-dialog .draft=${this.form.values} @close=${() => (this.testing = false)}
            @done=${(event: CustomEvent<unknown>) => (this.message = event.detail)}></test-dialog>`
        : nothing}`;
  }

  private get isChanged(): boolean {
    return this.isNew ? unsavedNew.has(this.itemId) : unsaved.get(this.form.values) !== undefined;
  }

  private actions(texts: Texts) {
    return html`<span class="actions">
      ${may("service")
        ? html`<button type="button" ?disabled=${this.isChanged} title=${this.isChanged ? "Save the changes first." : nothing}
            @click=${() => (this.testing = true)}>Send a test…</button>`
        : nothing}
      ${may("admin") ? html`<button type="button" @click=${() => this.confirmDelete(texts)}>Delete…</button>` : nothing}
    </span>`;
  }

  private variantLinks(variants: readonly TemplateRow[]) {
    const { locale, channel } = this.form.values;
    return html`<nav class="variants" aria-label="Languages and channels">
      ${variants.map((one) => {
        const isCurrent = !this.isNew && one.locale === locale && (one.channel ?? "") === channel;
        return html`<a href=${address("templates", one.key, { locale: one.locale, channel: one.channel })} aria-current=${isCurrent ? "page" : nothing}>${variantName(one)}</a>`;
      })}
      ${may("admin")
        ? html`<a href=${address("templates", this.itemId, { new: "1", locale, channel: channel || null })} aria-current=${this.isNew ? "page" : nothing}>Add a language or channel</a>`
        : nothing}
    </nav>`;
  }

  /** The key, language, and channel can be chosen for new texts only. */
  private identity(texts: Texts | null | undefined) {
    if (texts) return nothing;
    return html`<div class="field-row">
      ${this.form.text("key", "Key", { required: true, disabled: this.itemId !== "" })}
      ${this.form.text("locale", "Language", { required: true, placeholder: "de", hint: "A BCP 47 tag, such as de or pt-BR." })}
      ${this.form.select("channel", "Channel", [["", "all channels"], ...CHANNEL_KEYS.map((key) => [key, channelName(key)] as const)])}
    </div>`;
  }

  private readonly save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const draft = this.form.values;
    const saved = await this.form.submit(async () => {
      const input = { ...toTexts(draft), sample: sampleOf(draft), note: draft.note.trim() || null };
      return (await request(UpsertTemplate, { input })).upsertTemplate;
    });
    if (!saved) return;
    if (this.isNew) unsavedNew.delete(this.itemId);
    else unsaved.delete(draft);
    this.message = `Version ${saved.version} is saved. New sends use it.`;
    if (!this.isNew) return this.reload();
    navigate(address("templates", saved.key, { locale: saved.locale, channel: saved.channel }), { replace: true });
  };

  private readonly discard = (): void => {
    if (this.isNew) {
      unsavedNew.delete(this.itemId);
      void this.reload();
      return;
    }
    unsaved.delete(this.form.values);
    if (this.texts) this.form.reset(toDraft(this.texts));
  };

  /** Keep what a person wrote while the tab is open. Changed sample data does not change the template. */
  private keep(draft: Draft): void {
    samples.set(draft.key, draft.sample);
    if (this.isNew) return void unsavedNew.set(this.itemId, draft);
    if (!this.texts) return;
    if (draft.note || JSON.stringify(toTexts(draft)) !== JSON.stringify(toTexts(toDraft(this.texts)))) unsaved.set(draft);
    else unsaved.delete(draft);
  }

  private readonly onReverted = (event: CustomEvent<string>): void => {
    unsaved.delete(this.form.values);
    void this.act(async () => event.detail);
  };

  private confirmDelete({ key, locale, channel }: Texts): void {
    const last = this.variants?.length === 1;
    this.confirmation = {
      heading: `Delete the texts for ${variantName({ locale, channel })}`,
      content: html`<p>
        ${last ? html`They are the only texts of <code>${key}</code>. Sends with this template will fail.` : "Recipients get the texts of another language or channel."}
        The versions stay in the hub.
      </p>`,
      action: "Delete",
      danger: true,
      run: async () => {
        await request(DeleteTemplate, { key, locale, channel: channel as Channel | null });
        unsaved.delete({ key, locale, channel: channel ?? "" });
        navigate(last ? address("templates") : address("templates", key), { replace: true });
        return "The texts are deleted.";
      },
    };
  }
}

customElements.define("template-page", TemplatePage);
