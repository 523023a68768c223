/** The list of topics. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { count, timeOf } from "../format";
import { ListPage } from "../list-page";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { Topics, type Topic } from "./operations";

const PAGE_SIZE = 50;

class TopicsPage extends ListPage<Topic> {
  protected async load(signal: AbortSignal): Promise<void> {
    const variables = { search: this.params.get("q"), first: PAGE_SIZE, after: this.cursor };
    this.show((await request(Topics, variables, signal)).topics);
  }

  protected filtered(changes: Record<string, string | null>): string {
    return address("topics", "", { q: this.params.get("q"), ...changes });
  }

  override render() {
    const text = this.params.get("q") ?? "";
    return html`${pageHeading(
        "Topics",
        may("service") ? html`<span class="actions"><a class="button main" href=${address("topics", "", { new: "1" })}>New topic</a></span>` : nothing,
      )}
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        <label class="field ${text ? "chosen" : ""}"><span class="hidden">Key or name</span>
          <input type="text" placeholder="Key or name" autocomplete="off" spellcheck="false" .value=${text}
            @change=${(event: Event) => navigate(this.filtered({ q: (event.target as HTMLInputElement).value.trim() }))} /></label>
      </form>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(6)}`;
  }

  private table(rows: readonly Topic[]) {
    if (!rows.length) return this.params.get("q") ? emptyState("No topic matches.") : emptyState("There are no topics yet.", "Users are subscribed to a topic, and a send to the topic reaches all of them.");
    return html`<table class="rows">
        <caption class="hidden">Topics</caption>
        <thead>
          <tr><th scope="col">Topic</th><th scope="col">Key</th><th scope="col">Users see it</th><th scope="col">Created</th><th scope="col" class="number">Subscribers</th></tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ key, name, visible, subscribers, createdAt }) => html`<tr data-row>
              <td class="title"><a data-main href=${address("topics", key)}><bdi>${name}</bdi></a></td>
              <td><code>${key}</code></td>
              <td>${visible ? html`<span class="badge good">visible</span>` : html`<span class="badge">hidden</span>`}</td>
              <td class="when">${timeOf(createdAt)}</td>
              <td class="number">${subscribers === null ? nothing : count(subscribers)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging("First page", "Next page")}`;
  }
}

customElements.define("topics-page", TopicsPage);
