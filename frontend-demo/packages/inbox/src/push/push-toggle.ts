/** `<hub-push>`: the state of push notifications in this browser, and a button that turns them on or off. */
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import type { HubConnection } from "../../../client/src/connection";
import { ConnectedElement } from "../connected-element";
import { PreferencesI18n, type Messages } from "../locales/preferences";
import { pageLocale } from "../page";
import { styles } from "../preferences/styles";
import { PushSubscriber, type PushState } from "./subscription";

const STATE_TEXTS = {
  unsupported: "pushUnsupported",
  unavailable: "pushUnavailable",
  taken: "pushTaken",
  missing: "pushMissing",
  denied: "pushDenied",
  off: "pushOff",
  on: "pushOn",
} as const;

/**
 * Dispatches `hub-push` with `{ state, device }` when the state is determined and when it changes. Requests the
 * permission only when the button is pressed. The attribute `worker` is the path of the service worker on this origin.
 */
export class HubPush extends ConnectedElement<Messages> {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    worker: {},
    state: { state: true },
    busy: { state: true },
    failed: { state: true },
  };

  declare worker: string;
  declare state: PushState | undefined;
  declare protected busy: boolean;
  declare protected failed: boolean;
  #subscriber: PushSubscriber | undefined;

  constructor() {
    super();
    this.worker = "/sw.js";
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

  /** Unsubscribe this browser. Await this method before you sign the user out, and remove the token afterward. */
  async turnOff(): Promise<void> {
    const subscriber = this.#subscriber;
    await subscriber?.leave();
    if (this.state === "on" && subscriber === this.#subscriber) this.#setState("off");
  }

  /** Focus the button, or the text that says why there is none. */
  override focus(): void {
    const root = this.renderRoot;
    (root.querySelector("button") ?? root.querySelector<HTMLElement>(".push"))?.focus();
  }

  protected override createI18n(): PreferencesI18n {
    return new PreferencesI18n(this.locale || pageLocale());
  }

  protected override onConnect(hub: HubConnection): void {
    this.#subscriber = new PushSubscriber(hub, this.worker);
    void this.#checkState();
  }

  protected override onDisconnect(): void {
    this.#subscriber = this.state = undefined;
    this.busy = this.failed = false;
  }

  readonly #onMessage = ({ data }: MessageEvent): void => {
    if (data?.hub === "resubscribed") void this.#checkState();
  };

  #checkState(): Promise<void> {
    return this.#run((subscriber) => subscriber.state());
  }

  async #run(step: (subscriber: PushSubscriber) => Promise<PushState>): Promise<void> {
    const subscriber = this.#subscriber;
    if (!subscriber || this.busy) return;
    this.busy = true;
    this.failed = false;
    let state: PushState | undefined;
    try {
      state = await step(subscriber);
    } catch (error) {
      console.warn("hub: push", error);
    }
    if (subscriber !== this.#subscriber) return; // the user has changed
    this.failed = !state;
    this.busy = false;
    this.#setState(state ?? this.state ?? "off");
  }

  #setState(state: PushState): void {
    this.state = state;
    const detail = { state, device: state === "on" ? this.#subscriber?.device : undefined };
    this.dispatchEvent(new CustomEvent("hub-push", { detail, bubbles: true, composed: true }));
  }

  protected override render(): TemplateResult {
    const { i18n, state } = this;
    const on = state === "on";
    const label = i18n.t(on ? "turnOff" : "turnOn");
    return html`<div class="row push" tabindex="-1" dir=${i18n.dir} lang=${i18n.locale} aria-busy=${this.busy}>
      <div class="grow">
        <strong>${i18n.t("push")}</strong>
        <p class="muted-text" role="status">
          ${this.failed ? i18n.t("pushFailed") : state ? i18n.t(STATE_TEXTS[state]) : html`&nbsp;`}
        </p>
      </div>
      ${on || state === "off"
        ? html`<button
            class=${on ? "button" : "button primary"}
            aria-label="${label}: ${i18n.t("push")}"
            ?disabled=${this.busy}
            @click=${() => this.#run((subscriber) => (on ? subscriber.turnOff() : subscriber.turnOn()))}
          >
            ${label}
          </button>`
        : nothing}
    </div>`;
  }
}
