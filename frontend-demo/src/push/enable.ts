/** `<hub-push>`: how push to this browser stands, and a button that turns it on or off. It asks only when pressed. */
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import type { Hub } from "../hub/connection";
import { Joined } from "../preferences/joined";
import { styles } from "../preferences/styles";
import { Subscription, type PushState } from "./subscription";

const SAYS = {
  unsupported: "pushUnsupported",
  unavailable: "pushUnavailable",
  denied: "pushDenied",
  off: "pushOff",
  on: "pushOn",
} as const;

/** Fires `hub-push` with `{ state, device }` when that is known or has changed. */
export class HubPush extends Joined {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    state: { state: true },
    busy: { state: true },
    failed: { state: true },
  };

  declare state: PushState | undefined;
  declare protected busy: boolean;
  declare protected failed: boolean;
  #subscription: Subscription | undefined;

  constructor() {
    super();
    this.busy = this.failed = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    navigator.serviceWorker?.addEventListener("message", this.#onMessage);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    navigator.serviceWorker?.removeEventListener("message", this.#onMessage);
  }

  /** Looks again: something may have changed elsewhere. */
  refresh(): Promise<void> {
    return this.#become((subscription) => subscription.state());
  }

  protected override entered(hub: Hub): void {
    this.#subscription = new Subscription(hub, this.worker);
    void this.refresh();
  }

  readonly #onMessage = ({ data }: MessageEvent): void => {
    if (data?.hub === "resubscribed") void this.refresh();
  };

  async #become(step: (subscription: Subscription) => Promise<PushState>): Promise<void> {
    const subscription = this.#subscription;
    if (!subscription || this.busy) return;
    this.busy = true;
    this.failed = false;
    try {
      this.state = await step(subscription);
    } catch (error) {
      console.warn("hub: push", error);
      this.failed = true;
      this.state ??= "off";
    }
    this.busy = false;
    const detail = { state: this.state, device: this.state === "on" ? subscription.device : undefined };
    this.dispatchEvent(new CustomEvent("hub-push", { detail, bubbles: true, composed: true }));
  }

  protected override render(): TemplateResult {
    const { phrases, state } = this;
    const on = state === "on";
    return html`<div class="row push" dir=${phrases.direction} lang=${phrases.locale} aria-busy=${this.busy}>
      <div class="grow">
        <strong>${phrases.say("push")}</strong>
        <p class="soft" role="status">
          ${this.failed ? phrases.say("notSaved") : state ? phrases.say(SAYS[state]) : html`&nbsp;`}
        </p>
      </div>
      ${on || state === "off"
        ? html`<button
            class=${on ? "button" : "button primary"}
            aria-label="${phrases.say(on ? "turnOff" : "turnOn")}: ${phrases.say("push")}"
            ?disabled=${this.busy}
            @click=${() => this.#become((subscription) => (on ? subscription.turnOff() : subscription.turnOn()))}
          >
            ${phrases.say(on ? "turnOff" : "turnOn")}
          </button>`
        : nothing}
    </div>`;
  }
}
