/** The paused channels, and the dialogs that pause and resume a channel. */
import { html, nothing } from "lit";
import type { HubError } from "../../packages/client/src/errors";
import { request } from "./client";
import "./confirm-dialog";
import { ConsoleElement, toError } from "./element";
import { count, counted, timeOf } from "./format";
import { CHANNEL_KEYS, channelName } from "./labels";
import { PauseChannel, ResumeChannel, type Channel, type Queues } from "./operations";
import { address } from "./router";

const REASON_MAX_CHARS = 1_024;

/** Properties: `state`, and `allowed` (the caller is an administrator). Event: `changed`. */
class ChannelPauses extends ConsoleElement {
  static override properties = {
    state: { attribute: false },
    allowed: { type: Boolean },
    pausing: { state: true },
    resuming: { state: true },
    reason: { state: true },
    message: { state: true },
    error: { state: true },
  };

  declare state: Queues;
  declare allowed: boolean;
  /** The channel that a dialog asks about. */
  declare private pausing: string | undefined;
  declare private resuming: string | undefined;
  declare private reason: string;
  declare private message: string;
  declare private error: HubError | undefined;

  constructor() {
    super();
    this.reason = "";
    this.message = "";
  }

  override render() {
    return html`<p class="message" role="status">${this.message}</p>
      ${this.error ? html`<p class="notice bad" role="alert"><b>The channel was not changed.</b> ${this.error.message}</p>` : nothing}
      ${this.state.pausedChannels.map((paused) => this.notice(paused))}
      ${this.allowed
        ? html`<p class="actions"><button type="button" @click=${() => (this.pausing = this.channels[0])}>Pause a channel…</button></p>`
        : nothing}
      ${this.pausing ? this.pauseDialog(this.pausing) : nothing} ${this.resuming ? this.resumeDialog(this.resuming) : nothing}`;
  }

  /** The channels that can be paused. */
  private get channels(): string[] {
    const paused = this.state.pausedChannels.map(({ channel }) => channel as string);
    return CHANNEL_KEYS.filter((key) => key !== "IN_APP" && !paused.includes(key));
  }

  private notice({ channel, since, reason, held }: Queues["pausedChannels"][number]) {
    const waiting = address("deliveries", "", { channel, status: "HELD", reason: "PAUSED" });
    return html`<div class="notice quiet-notice paused">
      <p>
        <b>${channelName(channel)} is paused</b> since ${timeOf(since)}${reason ? html`: <bdi>${reason}</bdi>` : "."}
        <a href=${waiting}>${counted(held, "delivery waits", "deliveries wait")}</a>.
      </p>
      ${this.allowed
        ? html`<button type="button" @click=${() => (this.resuming = channel)}>Resume ${channelName(channel)}…</button>`
        : nothing}
    </div>`;
  }

  private pauseDialog(channel: string) {
    const due = this.state.queues.reduce((sum, one) => sum + (one.channel === channel ? one.waiting : 0), 0);
    return html`<confirm-dialog
      heading="Pause a channel"
      action="Pause ${channelName(channel)}"
      danger
      .content=${html`<label class="stacked"
          >Channel
          <select @change=${(event: Event) => (this.pausing = (event.target as HTMLSelectElement).value)}>
            ${this.channels.map((key) => html`<option value=${key} ?selected=${key === channel}>${channelName(key)}</option>`)}
          </select></label
        >
        <p class="effect">
          No call on this channel starts until somebody resumes it.
          ${due ? html`<b>${counted(due, "delivery", "deliveries")}</b> due now` : "What becomes due"} will be held. No
          delivery fails because of the pause. The inbox and other channels continue.
        </p>
        <label class="stacked"
          >Reason, shown to everyone who sees the queue
          <input
            type="text"
            required
            maxlength=${REASON_MAX_CHARS}
            autocomplete="off"
            .value=${this.reason}
            @input=${(event: Event) => (this.reason = (event.target as HTMLInputElement).value)}
        /></label>`}
      @confirm=${() => this.change(PauseChannel, channel, "is paused", "was paused before. Its reason is unchanged")}
      @close=${() => (this.pausing = undefined)}
    ></confirm-dialog>`;
  }

  private resumeDialog(channel: string) {
    const held = this.state.pausedChannels.find((one) => one.channel === channel)?.held ?? 0;
    return html`<confirm-dialog
      heading="Resume ${channelName(channel)}"
      action="Resume ${channelName(channel)}"
      .content=${html`<p>
        ${held ? html`<b>${count(held)}</b> held ${held === 1 ? "delivery is" : "deliveries are"}` : "What is held is"} decided again
        in the background. Deliveries that were read or have expired in the meantime are not sent.
      </p>`}
      @confirm=${() => this.change(ResumeChannel, channel, "is resumed", "was not paused")}
      @close=${() => (this.resuming = undefined)}
    ></confirm-dialog>`;
  }

  private async change(operation: typeof PauseChannel | typeof ResumeChannel, channel: string, done: string, unchanged: string) {
    this.message = "";
    this.error = undefined;
    try {
      const named = channel as Channel;
      const { changed } =
        operation === PauseChannel
          ? await request(PauseChannel, { channel: named, reason: this.reason.trim() })
          : await request(ResumeChannel, { channel: named });
      this.message = `${channelName(channel)} ${changed ? done : unchanged}.`;
      this.reason = "";
    } catch (error) {
      this.error = toError(error);
    }
    this.dispatchEvent(new Event("changed"));
  }
}

customElements.define("channel-pauses", ChannelPauses);
