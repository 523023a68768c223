/** The versions of the texts for one language and channel, the difference between two of them, and revert. */
import { html, nothing } from "lit";
import { request } from "../client";
import "../confirm-dialog";
import { LoadingElement, skeleton, toError } from "../element";
import { timeOf } from "../format";
import { may } from "../roles";
import { address, navigate } from "../router";
import { difference } from "./difference";
import { toDraft, type Draft } from "./draft";
import { RevertTemplate, Template, TemplateVersions, type Template as Texts, type TemplateVersion } from "./operations";

const PAGE_SIZE = 20;

/** The compared fields, and their names. */
const FIELDS: readonly (readonly [keyof Draft, string])[] = [
  ["title", "Title"], ["subject", "Subject"], ["body", "Text"], ["markdown", "Markdown"], ["preheader", "Preheader"],
  ["html", "HTML"], ["actionUrl", "Link"], ["imageUrl", "Image"], ["actions", "Buttons"],
  ["whatsappContentSid", "WhatsApp template"], ["whatsappVariables", "WhatsApp placeholders"],
];

/** Properties: `texts` (the current ones), `params` (`from` and `to` are the compared versions). Event: `reverted`. */
class TemplateVersionsCard extends LoadingElement {
  static override properties = {
    texts: { attribute: false },
    params: { attribute: false },
    versions: { state: true },
    more: { state: true },
    compared: { state: true },
    reverting: { state: true },
    message: { state: true },
  };

  declare texts: Texts;
  declare params: URLSearchParams;
  declare private versions: readonly TemplateVersion[] | undefined;
  declare private more: boolean;
  declare private compared: readonly [old: Texts, current: Texts] | undefined;
  declare private reverting: number;
  declare private message: string;

  override updated(changed: Map<string, unknown>): void {
    if (changed.get("texts") || changed.get("params")) void this.reload();
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const { key, locale, channel } = this.texts;
    const { template } = await request(TemplateVersions, { key, locale, channel, first: PAGE_SIZE }, signal);
    this.versions = template?.versions ?? [];
    this.more = this.versions.length === PAGE_SIZE;
    const old = Number(this.params.get("from")) || this.versions[0]?.version;
    this.compared = old ? await Promise.all([this.read(old, signal), this.read(this.newer, signal)]).then(bothOf) : undefined;
  }

  private get newer(): number {
    return Number(this.params.get("to")) || this.texts.version;
  }

  private async read(version: number, signal?: AbortSignal): Promise<Texts | null> {
    const { key, locale, channel } = this.texts;
    if (version === this.texts.version) return this.texts;
    return (await request(Template, { key, locale, channel, version }, signal)).template;
  }

  private readonly loadMore = async (): Promise<void> => {
    const { key, locale, channel } = this.texts;
    const before = this.versions?.at(-1)?.version ?? null;
    try {
      const { template } = await request(TemplateVersions, { key, locale, channel, first: PAGE_SIZE, before });
      this.versions = [...(this.versions ?? []), ...(template?.versions ?? [])];
      this.more = template?.versions.length === PAGE_SIZE;
    } catch (error) {
      this.message = toError(error).message;
    }
  };

  override render() {
    return html`<section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      ${this.message ? html`<p class="notice bad" role="alert">${this.message}</p>` : nothing}
      ${this.error ? this.errorMessage() : this.versions ? this.list(this.versions) : skeleton(2)}
      ${this.reverting
        ? html`<confirm-dialog
            heading="Revert to version ${this.reverting}"
            action="Revert"
            .content=${html`<p>A new version with the texts of version ${this.reverting} becomes the current one. Unsaved changes are discarded.</p>`}
            @confirm=${() => this.revert(this.reverting)}
            @close=${() => (this.reverting = 0)}
          ></confirm-dialog>`
        : nothing}
    </section>`;
  }

  private list(versions: readonly TemplateVersion[]) {
    if (!versions.length) return html`<p class="quiet">There is only the current version.</p>`;
    const { version, updatedAt, updatedBy } = this.texts;
    return html`<ul class="results plain versions">
        <li><b>Version ${version}</b> <span class="badge good">current</span>
          <span class="quiet small">${timeOf(updatedAt)} by <bdi>${updatedBy}</bdi></span></li>
        ${versions.map(
          (one) => html`<li>
            <b>Version ${one.version}</b> <span class="quiet small">${timeOf(one.updatedAt)} by <bdi>${one.updatedBy}</bdi></span>
            ${one.note ? html`<span><bdi>${one.note}</bdi></span>` : nothing}
            <span class="row-actions">
              <button class="plain" type="button" @click=${() => this.compare({ old: one.version })}>Compare<span class="hidden"> version ${one.version}</span></button>
              ${may("admin")
                ? html`<button class="plain" type="button" @click=${() => (this.reverting = one.version)}>Revert<span class="hidden"> to version ${one.version}</span>…</button>`
                : nothing}
            </span>
          </li>`,
        )}
      </ul>
      ${this.more ? html`<button class="plain" type="button" @click=${this.loadMore}>Older versions</button>` : nothing}
      ${this.compared ? this.comparison(this.compared, versions) : nothing}`;
  }

  private comparison([old, current]: readonly [Texts, Texts], versions: readonly TemplateVersion[]) {
    const numbers = [this.texts.version, ...versions.map(({ version }) => version)];
    const choice = (name: "old" | "new", label: string, value: number) => html`<label class="field"
      >${label}
      <select aria-label="Compare ${label.toLowerCase()} version" @change=${(event: Event) => this.compare({ [name]: Number((event.target as HTMLSelectElement).value) })}>
        ${numbers.map((one) => html`<option value=${one} ?selected=${one === value} .selected=${one === value}>version ${one}</option>`)}
      </select></label>`;
    const [before, after] = [toDraft(old), toDraft(current)];
    const changed = FIELDS.filter(([field]) => textOf(before[field]) !== textOf(after[field]));
    return html`<div class="filters compare">${choice("old", "From", old.version)} ${choice("new", "to", current.version)}</div>
      ${changed.length ? nothing : html`<p class="quiet">The texts are equal.</p>`}
      ${changed.map(
        ([field, name]) => html`<h3>${name}</h3>
          <pre class="difference" tabindex="0" aria-label="Difference: ${name}">${difference(textOf(before[field]), textOf(after[field])).map(
            ({ mark, text }) =>
              mark === "+" ? html`<ins>+ ${text}\n</ins>` : mark === "-" ? html`<del>- ${text}\n</del>` : html`<span>  ${text}\n</span>`,
          )}</pre>`,
      )}`;
  }

  private compare(versions: { old?: number; new?: number }): void {
    const { key, locale, channel } = this.texts;
    const old = versions.old ?? this.compared?.[0].version;
    navigate(address("templates", key, { locale, channel, from: String(old), to: String(versions.new ?? this.newer) }), { replace: true });
  }

  private async revert(version: number): Promise<void> {
    const { key, locale, channel } = this.texts;
    try {
      const { revertTemplate } = await request(RevertTemplate, { key, version, locale, channel });
      const detail = `Version ${revertTemplate.version} has the texts of version ${version}.`;
      this.dispatchEvent(new CustomEvent("reverted", { detail }));
    } catch (error) {
      this.message = toError(error).message;
    }
  }
}

const bothOf = ([old, current]: (Texts | null)[]): readonly [Texts, Texts] | undefined => (old && current ? [old, current] : undefined);

const textOf = (value: Draft[keyof Draft]): string =>
  typeof value === "string" ? value : typeof value === "boolean" ? (value ? "yes" : "no") : value.map((one) => JSON.stringify(one)).join("\n");

customElements.define("template-versions", TemplateVersionsCard);
