/** One delivery: its history, its attempts, and the notification. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, LoadingElement, skeleton, toError } from "./element";
import { counted, timeOf } from "./format";
import "./message-content";
import { Delivery, ReplayOne, type Delivery as Row } from "./operations";
import { facts, pageHeading, sentTo, statusBadge, userLink } from "./parts";
import { channelName } from "./labels";
import { may, titleOf } from "./roles";
import { address } from "./router";

const UNLESS: Record<string, string> = {
  SEEN: "It is not sent if the person sees the notification before.",
  READ: "It is not sent if the person reads the notification before.",
  ACKNOWLEDGED: "It is not sent if the person acknowledges the notification before.",
  NEVER: "It is sent in any case.",
};

class DeliveryPage extends LoadingElement {
  static override properties = { itemId: {}, row: { state: true }, message: { state: true } };

  declare itemId: string;
  declare private row: Row | null | undefined;
  declare private message: string;

  constructor() {
    super();
    this.message = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.row = (await request(Delivery, { id: this.itemId }, signal)).delivery;
  }

  override render() {
    const { row } = this;
    if (!row) {
      const missing = emptyState("This delivery does not exist.", html`No delivery has the id <code>${this.itemId}</code>.`);
      return html`${pageHeading("Delivery")} ${this.error ? this.errorMessage() : row === null ? missing : skeleton()}`;
    }
    const isReplayable =
      may("support") && (row.status === "FAILED" || row.status === "RETRYING" || row.reason === "RESTORED");
    return html`${pageHeading(
        html`${channelName(row.channel)} to ${row.userId}`,
        html`${statusBadge(row.status)}
          <span class="actions">
            ${isReplayable ? html`<button class="main" type="button" @click=${this.replay}>Send again now</button>` : nothing}
            <button type="button" @click=${() => this.reload()}>Refresh</button>
          </span>`,
      )}
      <p class="lead">${row.explanation}</p>
      <p class="message" role="status">${this.message}</p>
      ${this.errorMessage()}
      <div class="columns">
        <div>
          <section class="card" aria-labelledby="history">
            <h2 id="history">History</h2>
            ${this.history(row)}
          </section>
          ${this.content(row)}
        </div>
        <aside class="card" aria-labelledby="facts">
          <h2 id="facts">Details</h2>
          ${this.details(row)}
        </aside>
      </div>`;
  }

  private history(row: Row) {
    return html`<ol class="history">
      <li>${timeOf(row.createdAt)} <p>Accepted, and stored.</p></li>
      ${row.attempts.map(
        (attempt, index) => html`<li class=${attempt.ok ? "good" : "bad"}>
          ${timeOf(attempt.at)}
          <p>
            Attempt ${index + 1} with ${attempt.provider} ${attempt.ok ? "succeeded" : "failed"}${attempt.durationMs
              ? ` after ${attempt.durationMs} ms`
              : ""}.
            ${attempt.error ? html`<span class="error-text">${attempt.error}</span>` : nothing}
          </p>
        </li>`,
      )}
      <li>
        ${timeOf(row.updatedAt)}
        <p>${statusBadge(row.status)} ${row.explanation}</p>
      </li>
      ${row.dueAt
        ? html`<li class="wait">${timeOf(row.dueAt)} <p>The hub decides again, or makes the next attempt.</p></li>`
        : nothing}
    </ol>`;
  }

  private content(row: Row) {
    const { notification: n } = row;
    return html`<section class="card" aria-labelledby="content">
      <h2 id="content">${row.itemCount ? `Digest of ${counted(row.itemCount, "notification", "notifications")}` : "Notification"}</h2>
      ${row.items.length
        ? html`<ul>${row.items.map(({ title }) => html`<li><bdi>${titleOf(title)}</bdi></li>`)}</ul>`
        : n
          ? html`<p class="content-title"><bdi>${titleOf(n.title)}</bdi></p>
              <message-content .delivery=${row.id}></message-content>
              <p class="quiet small">${sentTo(n.becauseKind, n.becauseOf)}.</p>`
          : html`<p class="quiet">The notification was deleted.</p>`}
    </section>`;
  }

  private details(row: Row) {
    const { notification: n } = row;
    return facts([
      ["Person", userLink(row.userId)],
      ["Send", html`<a href=${address("sends", row.sendId)}><code>${row.sendId}</code></a>`],
      ["Digest", row.digestId ? html`<a href=${address("deliveries", row.digestId)}><code>${row.digestId}</code></a>` : nothing],
      ["Category", n ? html`<a href=${address("deliveries", "", { category: n.category })}>${n.categoryName}</a>` : nothing],
      ["Reason", row.reason ? html`<code>${row.reason}</code>` : nothing],
      ["Status", html`<code>${row.status}</code>`],
      ["Read", timeOf(n?.readAt)],
      ["Seen", timeOf(n?.seenAt)],
      ["Step", row.step ? `${row.step}. ${UNLESS[row.unless] ?? ""}` : nothing],
      ["Device", row.deviceId ? html`<code>${row.deviceId}</code>` : nothing],
      ["Provider's id", row.providerId ? html`<code>${row.providerId}</code>` : nothing],
      ["Notification", html`<code>${row.notificationId}</code>`],
      ["Delivery", html`<code>${row.id}</code>`],
    ]);
  }

  private async replay(): Promise<void> {
    try {
      const { replay } = await request(ReplayOne, { id: this.itemId });
      this.message = replay ? "It is being sent again." : "It was not sent again, because it changed in the meantime.";
      await this.reload();
    } catch (error) {
      this.message = toError(error).message;
    }
  }
}

customElements.define("delivery-page", DeliveryPage);
