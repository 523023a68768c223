/** The recipients of a send, by what they did not do, or whom it did not reach. The choice is in the address. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, skeleton } from "./element";
import { timeOf } from "./format";
import { ListPage } from "./list-page";
import { SendFailures, SendRecipients, type SendFailure, type SendRecipient } from "./operations";
import { channelChip, userLink } from "./parts";
import { channelName } from "./labels";
import { address } from "./router";

const PAGE_SIZE = 20;
const FAILED = "failed";
const NONE = { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } };
/** The choices, with the filter of each. */
const CHOICES: Record<string, readonly [name: string, filter: { read?: boolean; acknowledged?: boolean } | null]> = {
  "": ["All", null],
  unread: ["Unread", { read: false }],
  unacknowledged: ["Not acknowledged", { acknowledged: false }],
  [FAILED]: ["Failed", null],
};

/** Properties: `params`, `itemId` (of the send). */
class SendRecipientsList extends ListPage<SendRecipient | SendFailure> {
  static override properties = { itemId: {} };

  declare itemId: string;
  protected override readonly refreshMs = 5_000;

  private get chosen(): string {
    const who = this.params.get("who") ?? "";
    return Object.hasOwn(CHOICES, who) ? who : "";
  }

  protected filtered(changes: Record<string, string | null>): string {
    return address("sends", this.itemId, { who: this.chosen, ...changes });
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const page = { id: this.itemId, first: PAGE_SIZE, after: this.cursor };
    const { chosen } = this;
    const found =
      chosen === FAILED
        ? (await request(SendFailures, page, signal)).send?.deliveries
        : (await request(SendRecipients, { ...page, filter: CHOICES[chosen]?.[1] ?? null }, signal)).send?.notifications;
    this.show(found ?? NONE);
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (changed.has("params")) this.rows = undefined;
  }

  override render() {
    return html`<section class="card" aria-labelledby="recipients">
      <div class="card-heading">
        <h2 id="recipients">Recipients</h2>
        <nav class="periods" aria-label="Recipients">
          ${Object.entries(CHOICES).map(
            ([who, [name]]) =>
              html`<a href=${address("sends", this.itemId, { who })} aria-current=${who === this.chosen ? "true" : nothing}>${name}</a>`,
          )}
        </nav>
      </div>
      ${this.error ? this.errorMessage() : this.list()}
    </section>`;
  }

  private list() {
    if (!this.rows) return skeleton(3);
    const rows = this.rows.map((row) => ("lastError" in row ? failureRow(row) : personRow(row)));
    const searching = this.endCursor ? "None among the first 10,000. The next page continues." : "No recipient matches.";
    return html`${rows.length ? html`<ul class="results plain">${rows}</ul>` : emptyState(searching)} ${this.paging("First", "Next", "Pages of recipients")}`;
  }
}

const failureRow = ({ id, userId, channel, explanation, provider, lastError }: SendFailure) =>
  html`<li>
    <span>${userLink(userId)}</span>
    <span
      ><a href=${address("deliveries", id)}>${channelName(channel)}</a>: ${explanation}
      ${lastError ? html`<bdi class="quiet small">${provider}: ${lastError}</bdi>` : nothing}</span
    >
  </li>`;

const personRow = ({ userId, seenAt, readAt, acknowledgedAt, actedKey, deliveries }: SendRecipient) =>
  html`<li>
    <span>${userLink(userId)}</span>
    <span class="quiet small">
      ${acknowledgedAt
        ? html`acknowledged ${timeOf(acknowledgedAt)}`
        : readAt
          ? html`read ${timeOf(readAt)}`
          : seenAt
            ? html`seen ${timeOf(seenAt)}, unread`
            : "not seen"}${actedKey ? html`, took <code>${actedKey}</code>` : nothing}
    </span>
    <span class="chips">
      ${deliveries.map((one) => html`<a href=${address("deliveries", one.id)}>${channelChip(one.channel, one.status, one.explanation)}</a>`)}
    </span>
  </li>`;

customElements.define("send-recipients", SendRecipientsList);
