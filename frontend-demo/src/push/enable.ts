/** `<hub-push>`: how push to this browser stands, and a button that turns it on or off. It asks only when pressed. */
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import type { Hub } from "../hub/connection";
import { Joined } from "../preferences/joined";
import { styles } from "../preferences/styles";
import { Subscription, type PushState } from "./subscription";

const SAYS = {
  unsupported: "pushUnsupported",
  unavailable: "pushUnavailable",
  taken: "pushTaken",
  missing: "pushMissing",
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

  /** For an app whose person signs out: waits until nothing of theirs comes to this browser. Then let the token go. */
  async turnOff(): Promise<void> {
    const subscription = this.#subscription;
    await subscription?.leave();
    if (this.state === "on" && subscription === this.#subscription) this.#become("off");
  }

  /** Looks again: something may have changed elsewhere. */
  refresh(): Promise<void> {
    return this.#step((subscription) => subscription.state());
  }

  protected override entered(hub: Hub): void {
    this.#subscription = new Subscription(hub, this.worker);
    void this.refresh();
  }

  protected override left(): void {
    this.#subscription = this.state = undefined;
    this.busy = this.failed = false;
  }

  readonly #onMessage = ({ data }: MessageEvent): void => {
    if (data?.hub === "resubscribed") void this.refresh();
  };

  async #step(step: (subscription: Subscription) => Promise<PushState>): Promise<void> {
    const subscription = this.#subscription;
    if (!subscription || this.busy) return;
    this.busy = true;
    this.failed = false;
    let state: PushState | undefined;
    try {
      state = await step(subscription);
    } catch (error) {
      console.warn("hub: push", error);
    }
    if (subscription !== this.#subscription) return; // it was somebody else's
    this.failed = !state;
    this.busy = false;
    this.#become(state ?? this.state ?? "off");
  }

  #become(state: PushState): void {
    this.state = state;
    const detail = { state, device: state === "on" ? this.#subscription?.device : undefined };
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
            @click=${() => this.#step((subscription) => (on ? subscription.turnOff() : subscription.turnOn()))}
          >
            ${phrases.say(on ? "turnOff" : "turnOn")}
          </button>`
        : nothing}
    </div>`;
  }
}
