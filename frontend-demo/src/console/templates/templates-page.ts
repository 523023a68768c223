/** The list of templates: one row for each key, with its languages and channels. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, LoadingElement, skeleton } from "../element";
import { timeOf } from "../format";
import { channelName } from "../labels";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { Templates, type TemplateRow } from "./operations";

class TemplatesPage extends LoadingElement {
  static override properties = { params: { attribute: false }, rows: { state: true } };

  declare params: URLSearchParams;
  declare private rows: readonly TemplateRow[] | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    this.rows = (await request(Templates, { key: null }, signal)).templates;
  }

  override render() {
    const text = this.params.get("q") ?? "";
    return html`${pageHeading(
        "Templates",
        may("admin") ? html`<span class="actions"><a class="button main" href=${address("templates", "", { new: "1" })}>New template</a></span>` : nothing,
      )}
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        <label class="field ${text ? "chosen" : ""}"
          ><span class="hidden">Key or title</span>
          <input
            type="text"
            placeholder="Key or title"
            autocomplete="off"
            spellcheck="false"
            .value=${text}
            @input=${(event: Event) => navigate(address("templates", "", { q: (event.target as HTMLInputElement).value }), { replace: true })}
        /></label>
      </form>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows, text.trim().toLowerCase()) : skeleton(8)}`;
  }

  private table(rows: readonly TemplateRow[], text: string) {
    const groups = [...byKey(rows)].filter(([, texts]) => texts.some((one) => matches(one, text)));
    if (!groups.length)
      return rows.length
        ? emptyState("No template matches.")
        : emptyState("There are no templates yet.", "A template contains the texts of a notification for each language and channel.");
    return html`<table class="rows">
      <caption class="hidden">Templates</caption>
      <thead>
        <tr>
          <th scope="col">Template</th><th scope="col">Languages and channels</th><th scope="col" class="number">Version</th>
          <th scope="col">Changed</th><th scope="col">By</th>
        </tr>
      </thead>
      <tbody>
        ${groups.map(([key, texts]) => {
          const newest = texts.reduce((one, other) => (other.version > one.version ? other : one));
          const title = newest.title ?? newest.subject;
          return html`<tr data-row>
            <td class="title">
              <a data-main href=${address("templates", key)}><bdi>${key}</bdi></a>
              ${title ? html`<span class="quiet small under"><bdi>${title}</bdi></span>` : nothing}
            </td>
            <td><span class="chips">${texts.map((one) => html`<span class="chip">${variantName(one)}</span>`)}</span></td>
            <td class="number">${newest.version}</td>
            <td class="when">${timeOf(newest.updatedAt)}</td>
            <td class="person quiet"><bdi>${newest.updatedBy}</bdi></td>
          </tr>`;
        })}
      </tbody>
    </table>`;
  }
}

function byKey(rows: readonly TemplateRow[]): Map<string, TemplateRow[]> {
  const groups = new Map<string, TemplateRow[]>();
  for (const row of rows) groups.set(row.key, [...(groups.get(row.key) ?? []), row]);
  return groups;
}

const matches = ({ key, title, subject }: TemplateRow, text: string): boolean =>
  [key, title, subject].some((one) => one?.toLowerCase().includes(text));

/** Return the name of the texts for one language and channel, such as "de · Email". */
export const variantName = ({ locale, channel }: { locale: string; channel: string | null }): string =>
  channel ? `${locale} · ${channelName(channel)}` : locale;

customElements.define("templates-page", TemplatesPage);
