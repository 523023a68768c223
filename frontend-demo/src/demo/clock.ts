/** The clock of the hub, which a developer can move forward to see what is due later. */
import { LitElement, css, html, nothing } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import { sharedStyles } from "./shared-styles";
import { getDemoToken } from "./tokens";

const TICK_MS = 1_000;
const HOUR_MS = 3_600_000;
const MORNING_HOUR = 8;
const START_AGAIN = "Delete all data of this hub, and start it again with real time?";

const time = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

export class DemoClock extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      div {
        display: flex;
        align-items: center;
        flex-wrap: wrap;
        gap: 6px;
      }
      time {
        margin-inline-end: 4px;
        font-variant-numeric: tabular-nums;
      }
      button {
        min-height: 30px;
        padding: 2px 10px;
        font-size: 0.8125rem;
      }
      .error {
        padding: 4px 10px;
      }
    `,
  ];
  static override properties = {
    hub: { attribute: false },
    now: { state: true },
    busy: { state: true },
    error: { state: true },
  };

  declare hub: HubConnection;
  declare private now: number;
  declare private busy: boolean;
  declare private error: string;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.now = Date.now();
    this.busy = false;
    this.error = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#timer = setInterval(this.#tick, TICK_MS);
    this.hub.addEventListener("status", this.#tick);
    this.hub.addEventListener("clock", this.#tick);
    this.#tick();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
    this.hub.removeEventListener("status", this.#tick);
    this.hub.removeEventListener("clock", this.#tick);
  }

  override render() {
    return html`<div class="small" role="group" aria-label="The hub's clock">
      <time datetime=${new Date(this.now).toISOString()}>${time.format(this.now)}</time>
      <button ?disabled=${this.busy} @click=${() => this.#advance(HOUR_MS)}>+1 hour</button>
      <button ?disabled=${this.busy} @click=${() => this.#advance(this.#tomorrow() - this.hub.now())}>Tomorrow 08:00</button>
      <button ?disabled=${this.busy} @click=${this.#startAgain}>Start again</button>
      ${this.error ? html`<span class="error" role="alert">${this.error}</span>` : nothing}
    </div>`;
  }

  readonly #tick = (): void => {
    this.now = this.hub.now();
  };

  #tomorrow(): number {
    const morning = new Date(this.hub.now());
    morning.setDate(morning.getDate() + 1);
    return morning.setHours(MORNING_HOUR, 0, 0, 0);
  }

  async #advance(byMs: number): Promise<void> {
    await this.#post("/dev/clock", { advance: `PT${(byMs / 1_000).toFixed(3)}S` });
  }

  /** Start the hub again, and load this page again when the hub has come back. */
  readonly #startAgain = async (): Promise<void> => {
    if (!confirm(START_AGAIN)) return;
    let away = false;
    const onStatus = (): void => {
      if (away && this.hub.status === "live") location.reload();
      away ||= this.hub.status === "offline";
    };
    this.hub.addEventListener("status", onStatus);
    if (!(await this.#post("/dev/clock/reset"))) this.hub.removeEventListener("status", onStatus);
  };

  /** Return true if the hub accepted the request. */
  async #post(path: string, body: object = {}): Promise<boolean> {
    this.busy = true;
    this.error = "";
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { authorization: `Bearer ${await getDemoToken("service")}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      if (response.ok) return true;
      const { errors } = (await response.json().catch(() => ({}))) as { errors?: { message: string }[] };
      this.error = errors?.[0]?.message ?? `The hub answered ${response.status}.`;
    } catch {
      this.error = "The hub did not answer.";
    } finally {
      this.busy = false;
    }
    return false;
  }
}

customElements.define("demo-clock", DemoClock);
