/** The demo page: two devices, a send form, and the receipts of each send. */
import { LitElement, html, nothing } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import "./audit-log";
import "./clock";
import { pageStyles } from "./demo-page-styles";
import "./events";
import "./guide";
import { exampleOf, type PrepareDetail } from "./guide";
import "./receipts";
import type { DemoSendForm } from "./send-form";
import "./send-form";
import { connect } from "./sender-api";
import "./service-keys";
import { frameworkOf } from "./frameworks";
import { LANGUAGES } from "./labels";
import { sharedStyles } from "./shared-styles";
import "./tour";
import type { TourStep } from "./tour";

const PAIRS = {
  both: { name: "alice and bob", users: ["alice", "bob"] },
  devices: { name: "alice on two devices", users: ["alice", "alice"] },
  frameworks: { name: "alice in React and Vue", users: ["alice", "alice"] },
} as const;
const DEVICE_KINDS = ["laptop", "phone"] as const;
const STATUS_LABELS = { connecting: "Connecting…", live: "Live", offline: "Offline, reconnecting…", refused: "Token refused" } as const;

type Pair = keyof typeof PAIRS;

class DemoPage extends LitElement {
  static override styles = [sharedStyles, pageStyles];
  static override properties = {
    hub: { state: true },
    pair: { state: true },
    locales: { state: true },
    send: { state: true },
    outbox: { state: true },
    events: { state: true },
    error: { state: true },
  };

  declare private hub: HubConnection | undefined;
  declare private pair: Pair;
  declare private locales: readonly string[];
  declare private outbox: boolean;
  declare private events: boolean;
  declare private send: string;
  declare private error: string;

  constructor() {
    super();
    this.pair = "both";
    this.locales = ["en", "en"];
    this.send = "";
    this.error = "";
  }

  override async connectedCallback(): Promise<void> {
    super.connectedCallback();
    try {
      this.hub = await connect();
      this.hub.addEventListener("status", () => this.requestUpdate());
    } catch (error) {
      this.error = (error as Error).message;
    }
  }

  override render() {
    const status = this.hub?.status ?? "connecting";
    return html`
      <header aria-label="Demo">
        <h1>${MARK} Notification hub</h1>
        ${this.error ? nothing : html`<span class="status small quiet ${status}" role="status">${STATUS_LABELS[status]}</span>`}
        ${this.hub ? html`<demo-clock .hub=${this.hub}></demo-clock>` : nothing}
        <nav class="small" aria-label="Developer tools">
          <a href="?tour">Tour</a>
          <a href="/dev/outbox" target="_blank">Outbox</a>
          <a href="/graphiql" target="_blank">GraphiQL</a>
          <a href="/console/" target="_blank">Console</a>
        </nav>
      </header>
      ${this.error ? nothing : html`<demo-tour @step=${this.showStep}></demo-tour>`}
      <main aria-label="Users, send form and receipts">
        ${this.error ? html`<p class="error" role="alert">${this.error}</p>` : this.content()}
      </main>
    `;
  }

  private content() {
    const { users } = PAIRS[this.pair];
    return html`
      <demo-guide .now=${() => this.hub?.now() ?? Date.now()} @prepare=${this.prepare}></demo-guide>
      <demo-send-form .hub=${this.hub} @sent=${(event: CustomEvent<string>) => (this.send = event.detail)}></demo-send-form>
      <section class="devices" aria-labelledby="devices">
        <div class="row spread">
          <h2 id="devices">What users see</h2>
          <fieldset class="choices">
            <legend>Users shown</legend>
            ${Object.entries(PAIRS).map(
              ([pair, { name }]) => html`<label class="choice">
                <input
                  type="radio"
                  name="pair"
                  .checked=${pair === this.pair}
                  @change=${() => (this.pair = pair as Pair)}
                />${name}
              </label>`,
            )}
          </fieldset>
        </div>
        <div class="pair">${users.map((user, index) => (this.pair === "frameworks" ? this.framework(user, index) : this.device(user, index)))}</div>
      </section>
      <demo-receipts .hub=${this.hub} .send=${this.send}></demo-receipts>
      <details
        class="events card"
        @toggle=${(event: Event) => (this.events = (event.target as HTMLDetailsElement).open)}
      >
        <summary>Events: what applications publish, and what the rules did</summary>
        ${this.events ? html`<demo-events .hub=${this.hub}></demo-events>` : nothing}
      </details>
      <details
        class="outbox card"
        @toggle=${(event: Event) => (this.outbox = (event.target as HTMLDetailsElement).open)}
      >
        <summary>Outbox: messages of every channel</summary>
        ${this.outbox ? html`<iframe src="/dev/outbox" title="Outbox"></iframe>` : nothing}
      </details>
      <demo-audit-log></demo-audit-log>
      <demo-service-keys></demo-service-keys>
    `;
  }

  private device(user: string, index: number) {
    const kind = DEVICE_KINDS[index] ?? "phone";
    const name = `${user}'s ${kind}`;
    const locale = this.locales[index] ?? "en";
    const address = addressOf(user, index, locale);
    return html`
      <div class="device card">
        <div>
          ${kind === "laptop" ? LAPTOP : PHONE}
          <strong>${name}</strong>
          <select aria-label="Language of ${name}" @change=${(event: Event) => this.setLanguage(index, event)}>
            ${Object.entries(LANGUAGES).map(
              ([code, language]) =>
                html`<option value=${code} lang=${code} ?selected=${code === locale}>${language}</option>`,
            )}
          </select>
          <a href=${address} target="_blank" aria-label="Open ${name} in a new tab" title="Open in a new tab"
            >${OPEN}</a
          >
        </div>
        <iframe src=${address} title=${name}></iframe>
      </div>
    `;
  }

  /** A page that is made with a package instead of the script. */
  private framework(user: string, index: number) {
    const { name, address } = frameworkOf(user, index);
    return html`
      <div class="device card">
        <div>
          <strong>${name}</strong>
          <a href=${address} target="_blank" aria-label="Open ${name} in a new tab" title="Open in a new tab">${OPEN}</a>
        </div>
        <iframe src=${address} title=${name}></iframe>
      </div>
    `;
  }

  /** Fill in the form for an experiment. Show alice's settings if the experiment changed them. */
  private async prepare({ detail: { example, showsSettings } }: CustomEvent<PrepareDetail>): Promise<void> {
    await this.form.fill(example);
    if (showsSettings) this.showSettings("quiet");
  }

  private get form(): DemoSendForm {
    return this.renderRoot.querySelector<DemoSendForm>("demo-send-form")!;
  }

  /** Show a section of alice's settings on the first device. */
  private showSettings(section: string): void {
    const address = `${addressOf("alice", 0, this.locales[0], "/settings")}&at=${Date.now()}#${section}`; // a new URL reloads
    this.renderRoot.querySelector("iframe")!.src = address;
  }

  /** Show the part of the page that a step of the tour is about. At the end, move the focus to the link to the tour. */
  private async showStep({ detail: step }: CustomEvent<TourStep | undefined>): Promise<void> {
    const root = this.renderRoot;
    root.querySelector(".toured")?.classList.remove("toured");
    if (!step) return root.querySelector<HTMLElement>("[href='?tour']")!.focus();
    if (step.shows) this.pair = "devices";
    await this.updateComplete;
    if (step.example) await this.form.fill(exampleOf(step.example));
    if (step.shows === "settings") this.showSettings("matrix");
    const target = root.querySelector(step.target)!;
    target.classList.add("toured");
    target.scrollIntoView();
  }

  private setLanguage(index: number, event: Event): void {
    this.locales = this.locales.with(index, (event.target as HTMLSelectElement).value);
  }
}

function addressOf(user: string, index: number, locale = "en", path = ""): string {
  return `/app${path}?${new URLSearchParams({ user, device: DEVICE_KINDS[index] ?? "phone", locale })}`;
}

const MARK = html`<svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="9" fill="#4f46e5" />
  <path
    d="M16 7a6 6 0 0 0-6 6v4l-2 4h16l-2-4v-4a6 6 0 0 0-6-6Zm-3 16a3 3 0 0 0 6 0"
    fill="none"
    stroke="#fff"
    stroke-width="2"
    stroke-linejoin="round"
  />
</svg>`;
const LAPTOP = html`<svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">
  <rect x="3.25" y="3.75" width="11.5" height="8" rx="1.25" />
  <path d="M1 14.25h16" stroke-linecap="round" />
</svg>`;
const PHONE = html`<svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">
  <rect x="5.25" y="1.75" width="7.5" height="14.5" rx="1.75" />
  <path d="M8.25 13.75h1.5" stroke-linecap="round" />
</svg>`;
const OPEN = html`<svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">
  <path d="M9.5 2.5h4v4m0-4-6 6M6 3.5H3.5a1 1 0 0 0-1 1v8a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1V10" stroke-linecap="round" stroke-linejoin="round" />
</svg>`;

customElements.define("demo-page", DemoPage);
