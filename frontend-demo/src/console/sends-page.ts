/** The list of sends, newest first, with their progress. */
import { html } from "lit";
import { request } from "./client";
import { emptyState, skeleton } from "./element";
import { count, timeOf } from "./format";
import { ListPage } from "./list-page";
import { Categories, Sends, type SendRow, type SendStatus } from "./operations";
import { choice, pageHeading, progressOf, sendBadge } from "./parts";
import { SEND_STATUSES, sendStatusName } from "./labels";
import { isHidden } from "./roles";
import { address, navigate } from "./router";

const PAGE_SIZE = 30;
const STATUS_OPTIONS = [["", "Any status"] as const, ...Object.keys(SEND_STATUSES).map((key) => [key, sendStatusName(key)] as const)];

class SendsPage extends ListPage<SendRow> {
  static override properties = { categories: { state: true } };

  protected override readonly refreshMs = 5_000;
  declare private categories: readonly { key: string; name: string }[];

  constructor() {
    super();
    this.categories = [];
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const { params } = this;
    const status = params.get("status") ?? "";
    const variables = {
      category: params.get("category"),
      statuses: Object.hasOwn(SEND_STATUSES, status) ? [status as SendStatus] : null,
      first: PAGE_SIZE,
      after: this.cursor,
    };
    const [{ sends }] = await Promise.all([
      request(Sends, variables, signal),
      this.categories.length ? undefined : request(Categories, undefined, signal).then((found) => (this.categories = found.categories)),
    ]);
    this.show(sends);
  }

  override render() {
    const categories = [["", "Any category"] as const, ...this.categories.map(({ key, name }) => [key, name] as const)];
    return html`${pageHeading("Sends", this.liveMark())}
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        ${choice("Status", this.params.get("status") ?? "", STATUS_OPTIONS, (status) => navigate(this.filtered({ status })))}
        ${choice("Category", this.params.get("category") ?? "", categories, (category) => navigate(this.filtered({ category })))}
      </form>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(8)}`;
  }

  protected filtered(changes: Record<string, string | null>): string {
    const kept = { status: this.params.get("status"), category: this.params.get("category") };
    return address("sends", "", { ...kept, ...changes });
  }

  private table(rows: readonly SendRow[]) {
    if (!rows.length) return emptyState("No send matches.", "Sends appear here when a back end, a rule, or a command sends something.");
    return html`<table class="rows">
        <caption class="hidden">Sends, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th><th scope="col">Send</th><th scope="col">Status</th>
            <th scope="col">Category</th><th scope="col">Sender</th><th scope="col" class="number">Recipients</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr data-row>
              <td class="when">${timeOf(row.createdAt)}</td>
              <td class="title"><a data-main href=${address("sends", row.id)}><bdi>${sendTitle(row)}</bdi></a></td>
              <td>${sendBadge(row.status)} ${progressOf(row)}</td>
              <td>${row.category}</td>
              <td class="person quiet">${row.createdBy ?? ""}</td>
              <td class="number">${count(row.recipients)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging()}`;
  }
}

/** Return the title of a send, or what else identifies it. */
export const sendTitle = ({ title, template, id }: Pick<SendRow, "title" | "template" | "id">): string =>
  (!isHidden(title) && title) || (template ? `Template ${template}` : id);

customElements.define("sends-page", SendsPage);
