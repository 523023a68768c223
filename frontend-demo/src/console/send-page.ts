/** One send: progress, counts by channel and status, and pause, resume, cancel, and recall. */
import type { TadaDocumentNode } from "gql.tada";
import { html, nothing } from "lit";
import { request } from "./client";
import "./confirm-dialog";
import { emptyState, LiveElement, skeleton, toError } from "./element";
import { count, counted, timeOf } from "./format";
import "./message-content";
import { CancelSend, PauseSend, RecallSend, ResumeSend, Send, type Send as Row } from "./operations";
import { facts, pageHeading, progressOf, sendBadge, userLink } from "./parts";
import { channelName, DELIVERY_STATUSES, SEND_STATUSES, statusName, toneOf } from "./labels";
import { isHidden, may, titleOf } from "./roles";
import { address } from "./router";
import { sendFunnel } from "./send-funnel";
import "./send-recipients";
import { sendTitle } from "./sends-page";

const ENDED = ["CANCELLED", "RECALLED", "EXPIRED", "FAILED"];

/** The changes of a send: the operation, the label, and the sentences of the dialog. */
const CHANGES = {
  pause: [PauseSend, "Pause", "Nothing more leaves until somebody resumes the send. The notifications stay in the inboxes."],
  resume: [ResumeSend, "Resume", "Each delivery that waits is decided again, then leaves."],
  cancel: [CancelSend, "Cancel send", "The deliveries that have not left are canceled. The notifications stay in the inboxes. This cannot be undone."],
  recall: [RecallSend, "Recall", "The deliveries that have not left are canceled, and the notifications are removed from all inboxes. This cannot be undone."],
} as const;
type Change = keyof typeof CHANGES;

class SendPage extends LiveElement {
  static override properties = { itemId: {}, params: { attribute: false }, row: { state: true }, change: { state: true }, message: { state: true } };

  declare itemId: string;
  declare params: URLSearchParams;
  declare private row: Row | null | undefined;
  declare private change: Change | undefined;
  declare private message: string;
  protected override readonly refreshMs = 3_000;

  constructor() {
    super();
    this.message = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.row = (await request(Send, { id: this.itemId }, signal)).send;
  }

  override render() {
    const { row } = this;
    if (!row) {
      const missing = emptyState("This send does not exist.", html`No send has the id <code>${this.itemId}</code>.`);
      return html`${pageHeading("Send")} ${this.error ? this.errorMessage() : row === null ? missing : skeleton()}`;
    }
    return html`${pageHeading(
        html`<bdi>${sendTitle(row)}</bdi>`,
        html`${sendBadge(row.status)} ${progressOf(row)}
          <span class="actions">
            ${changesOf(row).map(
              (change) => html`<button type="button" @click=${() => (this.change = change)}>${CHANGES[change][1]}…</button>`,
            )}
          </span>`,
      )}
      <p class="lead">${row.pausedReason ? `Paused: ${row.pausedReason}. ` : ""}${row.reason ?? SEND_STATUSES[row.status]?.[1]}</p>
      <p class="message" role="status">${this.message}</p>
      ${this.errorMessage()}
      <div class="columns">
        <div>
          ${row.counts.length
            ? html`<section class="card" aria-labelledby="funnel"><h2 id="funnel">Progress</h2>${sendFunnel(row)}</section>`
            : nothing}
          <section class="card" aria-labelledby="counts">
            <h2 id="counts">Deliveries by channel and status</h2>
            ${this.counts(row)}
          </section>
          <send-recipients .itemId=${this.itemId} .params=${this.params}></send-recipients>
          ${this.content(row)}
        </div>
        <aside class="card" aria-labelledby="facts">
          <h2 id="facts">Details</h2>
          ${this.details(row)}
        </aside>
      </div>
      ${this.change ? this.dialog(row, this.change) : nothing}`;
  }

  private dialog(row: Row, change: Change) {
    const [, label, sentence] = CHANGES[change];
    return html`<confirm-dialog
      heading="${label}: ${sendTitle(row)}"
      action="${label} for ${counted(row.recipients, "recipient", "recipients")}"
      ?danger=${change === "cancel" || change === "recall"}
      .items=${change === "cancel" || change === "recall" ? row.recipients : 0}
      .content=${html`<p>${sentence}</p>`}
      @confirm=${() => this.apply(change)}
      @close=${() => (this.change = undefined)}
    ></confirm-dialog>`;
  }

  private async apply(change: Change): Promise<void> {
    try {
      const operation: TadaDocumentNode<unknown, { id: string }> = CHANGES[change][0];
      await request(operation, { id: this.itemId });
      this.message = "The change was accepted. For a large send, it continues in the background.";
      await this.reload();
    } catch (error) {
      this.message = toError(error).message;
    }
  }

  private counts({ id, counts, countedAt }: Row) {
    if (!counts.length) return emptyState("Nothing has been decided yet.");
    const order = Object.keys(DELIVERY_STATUSES);
    const channels = [...new Set(counts.map(({ channel }) => channel))];
    return html`${channels.map((channel) => {
      const rows = counts
        .filter((one) => one.channel === channel)
        .sort((one, other) => order.indexOf(one.status) - order.indexOf(other.status));
      const total = rows.reduce((sum, one) => sum + one.count, 0);
      return html`<h3 class="channel">${channelName(channel)} <span class="quiet small">${count(total)}</span></h3>
        <ul class="bars">
          ${rows.map(
            (one) => html`<li>
              <span class="bar-label">${this.statusLink(id, channel, one.status)}</span>
              <progress class=${toneOf(one.status)} max=${total} value=${one.count} aria-label="${statusName(one.status)} on ${channelName(channel)}"></progress>
              <span class="number">${count(one.count)}</span>
              ${one.reasons.length
                ? html`<span class="quiet small bar-reasons"
                    >${one.reasons.map(({ explanation, count: number }) => `${count(number)}: ${explanation}`).join(" ")}</span
                  >`
                : nothing}
            </li>`,
          )}
        </ul>`;
    })}
    <p class="quiet small">Counted ${timeOf(countedAt)}. <a href=${address("deliveries", "", { send: id })}>All deliveries of this send</a></p>`;
  }

  /** The inbox and the channels that were decided against have no deliveries to list. */
  private statusLink(send: string, channel: string, status: string) {
    if (channel === "IN_APP" || status === "SKIPPED") return statusName(status);
    return html`<a href=${address("deliveries", "", { send, channel, status })}>${statusName(status)}</a>`;
  }

  private content({ id, content, template, templateVersion, title }: Row) {
    return html`<section class="card" aria-labelledby="content">
      <h2 id="content">Content</h2>
      <p class="content-title"><bdi>${titleOf(content?.title ?? title)}</bdi></p>
      ${content ? html`<message-content .send=${id}></message-content>` : nothing}
      ${content?.actionUrl && !isHidden(content.actionUrl) ? html`<p class="quiet small">Opens <code>${content.actionUrl}</code></p>` : nothing}
      ${template
        ? html`<p class="quiet">From the template <code>${template}</code>, version ${templateVersion}. Each person gets a text of their own.</p>`
        : nothing}
    </section>`;
  }

  private details(row: Row) {
    return facts([
      ["To", recipientsOf(row)],
      ["Except", row.to.except.join(", ")],
      ["Recipients", row.total && row.total > row.recipients ? `${count(row.recipients)} of about ${count(row.total)}` : count(row.recipients)],
      ["Remaining", row.remaining ? `${count(row.remaining)} changes in the background` : nothing],
      ["Category", html`<a href=${address("sends", "", { category: row.category })}>${row.category}</a>`],
      ["Priority", row.priority.toLowerCase()],
      ["Channels", row.channels ? row.channels.map(channelName).join(", ") : "those of the category"],
      ["Steps", row.steps.length ? row.steps.map(({ channels, after }) => html`<div>${channels.map(channelName).join(", ")} after ${after}</div>`) : nothing],
      ["Sender", row.createdBy],
      ["Created", timeOf(row.createdAt)],
      ["Scheduled", timeOf(row.sendAt)],
      ["Expires", timeOf(row.expiresAt)],
      ["Collapse key", row.collapseKey],
      ["Tags", row.tags.join(", ")],
      ["Send", html`<code>${row.id}</code>`],
    ]);
  }
}

function changesOf({ status, recipients, to }: Row): Change[] {
  if (!may("operator")) return may("support") && to.users && recipients === 1 && !ENDED.includes(status) ? ["cancel"] : [];
  if (status === "CANCELLED") return ["recall"];
  if (ENDED.includes(status)) return [];
  return [status === "PAUSED" ? "resume" : "pause", "cancel", "recall"];
}

function recipientsOf({ to }: Row) {
  if (to.everyone) return "everyone";
  if (to.topic) return html`topic <code>${to.topic}</code>`;
  if (to.where) return html`filter <code>${JSON.stringify(to.where)}</code>`;
  return html`${to.users?.map((user, index) => html`${index ? ", " : ""}${userLink(user)}`)}`;
}

customElements.define("send-page", SendPage);
