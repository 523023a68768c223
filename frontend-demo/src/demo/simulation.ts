/** The result of `simulate`: for each user, what would be sent and when, and what would not be sent and why. */
import { LitElement, css, html, nothing } from "lit";
import { channelLabel, reasonLabel, stopLabel } from "./labels";
import type { Simulation } from "./sender-api";
import { sharedStyles } from "./shared-styles";
import { clockTime, untilText } from "./times";

type Decision = Simulation["decisions"][number];
type Look = "now" | "later" | "not";

/** Decisions with the same time and the same explanation. */
interface Entry {
  look: Look;
  dueAt: string | null;
  channels: string[];
  why: string;
}

const ORDER: Record<Look, number> = { now: 0, later: 1, not: 2 };
/** A delivery that waits without a time waits for its channel, which is paused. */
const WITHOUT_TIME: Record<Look, string> = { now: "Now", later: "Later", not: "Not" };
const NOT_REQUESTED = "NOT_REQUESTED";
/** The reasons for which the sender chose the time. */
const PLANNED = new Set(["SCHEDULED", "STEP", "DIGEST"]);

export class DemoSimulation extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        display: grid;
        gap: 16px;
      }
      h3,
      p {
        margin: 0;
      }
      h3 {
        font-size: 0.9375rem;
      }
      ol {
        margin: 8px 0 0;
        padding: 0;
        list-style: none;
      }
      li {
        position: relative;
        display: grid;
        grid-template-columns: 84px minmax(0, 1fr);
        gap: 0 30px;
        padding-bottom: 12px;
        font-size: 0.875rem;
      }
      /* The dots, and the line between them. */
      li::before,
      li::after {
        content: "";
        position: absolute;
        inset-inline-start: 99px;
      }
      li::before {
        top: 16px;
        bottom: -6px;
        margin-inline-start: -1px;
        border-inline-start: 2px solid var(--line);
      }
      li:last-child::before {
        display: none;
      }
      li::after {
        top: 5px;
        width: 12px;
        height: 12px;
        margin-inline-start: -6px;
        border: 2px solid var(--quiet);
        border-radius: 50%;
        background: var(--card);
      }
      .now::after {
        border-color: var(--good);
        background: var(--good);
      }
      .later::after {
        border-color: var(--wait);
      }
      .when {
        text-align: end;
        font-weight: 600;
        font-variant-numeric: tabular-nums;
      }
      .now .when {
        color: var(--good);
      }
      .later .when {
        color: var(--wait);
      }
      .not .when {
        color: var(--quiet);
      }
      .when time,
      .when span {
        display: block;
      }
      .when span {
        font-weight: 400;
      }
      .channels {
        font-weight: 600;
      }
      .not .channels {
        color: var(--quiet);
      }
    `,
  ];
  static override properties = {
    simulations: { attribute: false },
    now: { attribute: false },
    withTitles: { attribute: false },
  };

  declare simulations: Simulation[];
  /** The hub's time of the simulation. */
  declare now: number;
  /** True to show the title that each user would get. */
  declare withTitles: boolean;

  override render() {
    return this.simulations.map(({ userId, decisions }) => {
      const title = this.withTitles && decisions.find((decision) => decision.title)?.title;
      return html`
        <section aria-labelledby="user-${userId}">
          <h3 id="user-${userId}">${userId}</h3>
          ${title ? html`<p class="small quiet">“${title}”</p>` : nothing}
          <ol role="list">
            ${entriesOf(decisions).map((entry) => this.row(entry))}
          </ol>
          ${decisions.some(({ reason }) => reason === NOT_REQUESTED)
            ? html`<p class="small quiet">The other channels were not requested.</p>`
            : nothing}
        </section>
      `;
    });
  }

  private row({ look, dueAt, channels, why }: Entry) {
    return html`<li class=${look}>
      <div class="when">${dueAt ? this.time(dueAt) : WITHOUT_TIME[look]}</div>
      <div>
        <p class="channels">${channels.join(", ")}</p>
        ${why ? html` <p class="small quiet">${why}</p>` : nothing}
      </div>
    </li>`;
  }

  private time(dueAt: string) {
    return html`<time datetime=${dueAt}>${clockTime(dueAt, this.now)}</time>
      <span class="small quiet">${untilText(dueAt, this.now)}</span>`;
  }
}

/** Return the requested decisions, ordered by time. Those that are not sent are last. */
function entriesOf(decisions: readonly Decision[]): Entry[] {
  const entries = new Map<string, Entry>();
  for (const decision of decisions) {
    if (decision.reason === NOT_REQUESTED) continue;
    const look = decision.outcome === "HELD" ? "later" : decision.outcome === "ACCEPTED" ? "now" : "not";
    const why = explanation(decision, look);
    const key = [look, decision.dueAt, why].join();
    const entry = entries.get(key) ?? { look, dueAt: decision.dueAt, channels: [], why };
    const label = channelLabel(decision.channel);
    if (!entry.channels.includes(label)) entry.channels.push(label); // one decision per device
    entries.set(key, entry);
  }
  const time = ({ dueAt }: Entry) => (dueAt ? Date.parse(dueAt) : 0);
  return [...entries.values()].sort((a, b) => ORDER[a.look] - ORDER[b.look] || time(a) - time(b));
}

function explanation({ reason, step, unless }: Decision, look: Look): string {
  const why = reason && reason !== "STEP" ? reasonLabel(reason) : "";
  const held = look === "later" && reason && !PLANNED.has(reason) ? `Held: ${why}` : why;
  const stop = step ? `Step ${step}, ${stopLabel(unless)}` : "";
  return [look === "not" && step ? `Step ${step}` : stop, held].filter(Boolean).join(". ");
}

customElements.define("demo-simulation", DemoSimulation);
