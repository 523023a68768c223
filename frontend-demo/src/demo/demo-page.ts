/** The demo page: two devices, a send form, and the receipts of each send. */
import { LitElement, css, html, nothing } from "lit";
import type { HubConnection } from "../client/connection";
import "./audit-log";
import "./clock";
import "./events";
import "./guide";
import type { PrepareDetail } from "./guide";
import "./receipts";
import type { DemoSendForm } from "./send-form";
import "./send-form";
import { connect } from "./sender-api";
import "./service-keys";
import { sharedStyles } from "./shared-styles";

const PAIRS = {
  both: { name: "alice and bob", users: ["alice", "bob"] },
  devices: { name: "alice on two devices", users: ["alice", "alice"] },
} as const;
const DEVICE_KINDS = ["laptop", "phone"] as const;
const LANGUAGES = { en: "English", de: "Deutsch", ar: "العربية" } as const;
const STATUS_LABELS = { connecting: "Connecting…", live: "Live", offline: "Offline, reconnecting…", refused: "Token refused" } as const;

type Pair = keyof typeof PAIRS;

class DemoPage extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      header,
      main {
        max-width: 1440px;
        margin: 0 auto;
        padding: 0 20px;
      }
      header {
        display: flex;
        align-items: center;
        flex-wrap: wrap;
        gap: 4px 20px;
        padding-block: 14px;
      }
      h1 {
        display: flex;
        align-items: center;
        gap: 10px;
        margin: 0;
        font-size: 1.125rem;
        letter-spacing: -0.01em;
      }
      h1 svg {
        display: block;
      }
      nav {
        display: flex;
        gap: 18px;
        margin-inline-start: auto;
      }
      nav a {
        padding-block: 6px;
      }
      .status::before {
        content: "";
        display: inline-block;
        width: 8px;
        height: 8px;
        margin-inline-end: 7px;
        border-radius: 50%;
        background: var(--wait);
      }
      .status.live::before {
        background: var(--good);
      }
      @media (min-width: 1001px) {
        header {
          position: sticky;
          inset-block-start: 0;
          z-index: 1;
          background: var(--page);
        }
      }
      main {
        display: grid;
        grid-template-columns: minmax(340px, 400px) minmax(0, 1fr);
        grid-template-areas: "guide guide" "form devices" "form receipts" "events events" "outbox outbox" "audit audit" "keys keys";
        grid-template-rows: auto auto 1fr auto auto;
        gap: 20px;
        align-items: start;
        padding-bottom: 40px;
      }
      demo-guide {
        grid-area: guide;
        min-width: 0;
      }
      .devices {
        grid-area: devices;
        min-width: 0;
      }
      .devices > .row {
        min-height: 34px;
        margin-bottom: 10px;
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 20px;
      }
      .device {
        display: flex;
        flex-direction: column;
        overflow: hidden;
      }
      .device > div {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 8px 12px;
        border-bottom: 1px solid var(--line);
        background: var(--sunk);
      }
      .device strong {
        flex: 1;
        font-size: 0.875rem;
      }
      .device select {
        width: auto;
        min-height: 30px;
        padding: 2px 6px;
        font-size: 0.8125rem;
      }
      .device a {
        display: grid;
        place-items: center;
        width: 30px;
        height: 30px;
        border-radius: 8px;
      }
      svg {
        flex: none;
      }
      iframe {
        width: 100%;
        height: 470px;
        border: 0;
        background: var(--card);
      }
      demo-send-form {
        grid-area: form;
      }
      demo-receipts {
        grid-area: receipts;
        min-width: 0;
      }
      .outbox {
        grid-area: outbox;
        overflow: hidden;
      }
      .events {
        grid-area: events;
      }
      .events summary,
      .outbox summary {
        padding: 14px 18px;
        font-weight: 600;
        cursor: pointer;
      }
      .outbox iframe {
        height: 620px;
        border-top: 1px solid var(--line);
      }
      demo-service-keys {
        grid-area: keys;
        min-width: 0;
      }
      demo-audit-log {
        grid-area: audit;
        min-width: 0;
      }
      .error {
        grid-column: 1 / -1;
      }
      @media (max-width: 1000px) {
        main {
          grid-template-columns: minmax(0, 1fr);
          grid-template-areas: "guide" "form" "devices" "receipts" "events" "outbox" "audit" "keys";
        }
      }
      @media (max-width: 640px) {
        header,
        main {
          padding-inline: 12px;
        }
        .pair {
          grid-template-columns: minmax(0, 1fr);
          gap: 14px;
        }
        nav {
          margin-inline-start: 0;
        }
        nav a {
          padding-block: 11px;
        }
        .device a {
          width: 44px;
          height: 44px;
        }
        .device select {
          min-height: 44px;
        }
      }
    `,
  ];
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
          <a href="/dev/outbox" target="_blank">Outbox</a>
          <a href="/graphiql" target="_blank">GraphiQL</a>
        </nav>
      </header>
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
        <div class="pair">${users.map((user, index) => this.device(user, index))}</div>
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

  /** Fill in the form for an experiment. Show alice's settings if the experiment changed them. */
  private async prepare({ detail: { example, showsSettings } }: CustomEvent<PrepareDetail>): Promise<void> {
    const form = this.renderRoot.querySelector<DemoSendForm>("demo-send-form")!;
    await form.fill(example);
    if (!showsSettings) return;
    const settings = `${addressOf("alice", 0, this.locales[0], "/settings")}&at=${Date.now()}#quiet`; // a new URL reloads
    this.renderRoot.querySelector("iframe")!.src = settings;
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
