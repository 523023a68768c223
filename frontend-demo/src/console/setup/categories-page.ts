/** The list of categories. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, LoadingElement, skeleton } from "../element";
import { channelName } from "../labels";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address } from "../router";
import { AllCategories, type Category } from "./operations";

class CategoriesPage extends LoadingElement {
  static override properties = { rows: { state: true } };

  declare private rows: readonly Category[] | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    this.rows = (await request(AllCategories, undefined, signal)).categories;
  }

  override render() {
    return html`${pageHeading(
        "Categories",
        may("admin") ? html`<span class="actions"><a class="button main" href=${address("categories", "", { new: "1" })}>New category</a></span>` : nothing,
      )}
      <p class="lead">A kind of notification that users can turn off, with its channels and priority.</p>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(6)}`;
  }

  private table(rows: readonly Category[]) {
    if (!rows.length) return emptyState("There are no categories yet.", "A send to a new key creates a category with the channel Inbox.");
    return html`<table class="rows">
      <caption class="hidden">Categories</caption>
      <thead>
        <tr><th scope="col">Category</th><th scope="col">Key</th><th scope="col">Channels</th><th scope="col">Priority</th><th scope="col">Notes</th></tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr data-row>
            <td class="title"><a data-main href=${address("categories", row.key)}><bdi>${row.name}</bdi></a></td>
            <td><code>${row.key}</code></td>
            <td><span class="chips">${row.defaultChannels.map((channel) => html`<span class="chip">${channelName(channel)}</span>`)}</span></td>
            <td>${row.priority.toLowerCase()}</td>
            <td class="quiet">${notesOf(row)}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }
}

const notesOf = ({ required, steps, digest, retention }: Category) =>
  [required && "required", steps.length && "steps", digest && `digest ${digest}`, retention && `kept ${retention}`].filter(Boolean).join(", ") || nothing;

customElements.define("categories-page", CategoriesPage);
