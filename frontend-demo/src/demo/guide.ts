/** "Try this": experiments that show digests, quiet hours, daily limits, escalation, and chats within a minute each. */
import { LitElement, css, html, type TemplateResult } from "lit";
import { setPreferences, type Preferences } from "./sender-api";
import type { Example } from "./send-values";
import { sharedStyles } from "./shared-styles";

const MINUTE_MS = 60_000;
const QUIET_SINCE_MS = 120 * MINUTE_MS;
const QUIET_FOR_MS = 50 * MINUTE_MS; // the button "+1 hour" moves the clock past the end

interface Experiment {
  name: string;
  /** What the button prepares, as a sentence. */
  prepares: string;
  /** What the visitor does then. */
  steps: readonly (string | TemplateResult)[];
  example: Example;
  /** The preferences that alice gets. */
  alice?: (now: number) => Preferences;
}

const OUTBOX = html`<a href="/dev/outbox" target="_blank">outbox</a>`;
const REVIEW = {
  category: "reviews",
  "content.title": "Carol asks for your review",
  "content.body": "Retry failed payments: 4 files, 120 lines.",
  "content.actionUrl": "/app/changes/412",
};
const EXPERIMENTS: readonly Experiment[] = [
  {
    name: "Digest",
    prepares: "A send by email with a digest key, which gathers for 10 minutes.",
    steps: [
      "Press Send three times. The inboxes get each one at once, and the emails wait.",
      "Press +1 hour at the top of the page.",
      html`Open the ${OUTBOX}: one email for each user, about all three.`,
    ],
    example: { fields: { ...REVIEW, "digest.key": "reviews" }, channels: ["IN_APP", "EMAIL"] },
  },
  {
    name: "Quiet hours",
    prepares: "Quiet hours for alice, which end in 50 minutes, and a send with a push message.",
    steps: [
      "Press Simulate. Alice's push message waits, and her inbox does not.",
      "Press Send. In alice's bell, ask the new notification: Why did I get this?",
      html`Press +1 hour at the top of the page. The push message leaves: see the receipts and the ${OUTBOX}.`,
    ],
    example: { fields: REVIEW, channels: ["IN_APP", "WEB_PUSH"] },
    alice: (now) => ({ quietSchedule: [quietWindow(now)], dailyLimit: null }),
  },
  {
    name: "Daily limit",
    prepares: "At most two interruptions per day for alice, and a send with a push message.",
    steps: [
      "Press Send three times. The third push message is not sent: see the receipts.",
      "Open alice's bell: her inbox has all three.",
      "Press Tomorrow 08:00, then Simulate. A new day starts with two more.",
    ],
    example: { fields: REVIEW, channels: ["IN_APP", "WEB_PUSH"] },
    alice: () => ({ quietSchedule: [], dailyLimit: 2 }),
  },
  {
    name: "Escalation",
    prepares: "A send that asks for an acknowledgment, with an email after 10 minutes unless it is given.",
    steps: [
      "Press Send. In alice's bell, press Acknowledge. Leave bob's as it is.",
      "Press +1 hour at the top of the page.",
      html`Open the ${OUTBOX}: bob got the email, and alice did not.`,
    ],
    example: {
      fields: {
        category: "deploys",
        "content.title": "web-9 does not respond",
        "content.body": "Please confirm that you are on it.",
        "content.actionUrl": "/app/deploys/web-9",
        requireAck: true,
      },
      channels: ["IN_APP"],
      steps: [{ channels: ["EMAIL"], after: "PT10M", unless: "ACKNOWLEDGED" }],
    },
  },
  {
    name: "Chats",
    prepares: "A send with Markdown to Slack, Discord, and Teams. Alice has connected a channel of each.",
    steps: [
      "Press Send.",
      html`Open the ${OUTBOX}: three messages, as the chats show them.`,
      "In alice's app, open Notifications. Under Devices, remove a chat or connect your own.",
    ],
    example: {
      fields: {
        category: "deploys",
        "content.title": "Build 1041 failed",
        "content.body":
          "**2 of 212** tests failed on `main` ([log](https://ci.example.org/1041)):\n\n- `test_login`\n- `test_export`\n\nText such as <!channel> or @everyone notifies nobody.",
        "content.markdown": true,
        "content.actionUrl": "/app/builds/1041",
      },
      channels: ["IN_APP", "SLACK", "DISCORD", "TEAMS"],
    },
  },
  {
    name: "Approval",
    prepares: "A send with two buttons, to the inbox and by email.",
    steps: [
      "Press Send. In alice's bell, press Approve: the button is done on all her devices.",
      html`Open the ${OUTBOX}. In bob's email, press a button: a page asks for a confirmation.`,
      "The receipts show what both chose.",
    ],
    example: {
      fields: { ...REVIEW, "content.actions": "Approve, Request changes", "content.actor.name": "Carol Reed" },
      channels: ["IN_APP", "EMAIL"],
    },
  },
];

/** Return the send that an experiment prepares. */
export const exampleOf = (name: string): Example => EXPERIMENTS.find((experiment) => experiment.name === name)!.example;

/** The detail of the event `prepare`. `showsSettings` is true if the settings of alice were changed. */
export interface PrepareDetail {
  example: Example;
  showsSettings: boolean;
}

/** Dispatches `prepare` when the visitor starts an experiment. */
export class DemoGuide extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      summary {
        padding: 12px 18px;
        font-weight: 600;
        cursor: pointer;
      }
      .content {
        display: grid;
        gap: 12px;
        padding: 2px 18px 18px;
      }
      ol {
        display: grid;
        grid-template-columns: repeat(4, minmax(0, 1fr));
        gap: 12px 20px;
        margin: 0;
        padding: 0;
        list-style: none;
        counter-reset: step;
      }
      li {
        display: grid;
        grid-template-columns: 24px minmax(0, 1fr);
        gap: 4px 10px;
        font-size: 0.875rem;
        counter-increment: step;
      }
      li::before {
        content: counter(step);
        display: grid;
        place-items: center;
        width: 24px;
        height: 24px;
        border-radius: 50%;
        background: var(--accent-soft);
        color: var(--accent);
        font-size: 0.8125rem;
        font-weight: 700;
      }
      li p {
        margin: 1px 0 8px;
      }
      .ready {
        margin-inline-start: 8px;
        color: var(--good);
      }
      @media (max-width: 1000px) {
        ol {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];
  static override properties = {
    now: { attribute: false },
    chosen: { state: true },
    state: { state: true },
    error: { state: true },
  };

  /** Return the time of the hub's clock. */
  declare now: () => number;
  declare private chosen: number;
  declare private state: "" | "busy" | "ready";
  declare private error: string;

  constructor() {
    super();
    this.chosen = 0;
    this.state = "";
    this.error = "";
  }

  override render() {
    const { prepares, steps } = EXPERIMENTS[this.chosen]!;
    return html`<details class="card" open>
      <summary>Try this</summary>
      <div class="content">
        <fieldset class="choices">
          <legend>Experiment</legend>
          ${EXPERIMENTS.map(
            ({ name }, index) => html`<label class="choice">
              <input type="radio" name="experiment" .checked=${index === this.chosen} @change=${() => this.choose(index)} />${name}
            </label>`,
          )}
        </fieldset>
        <ol role="list">
          <li>
            <div>
              <p>${prepares}</p>
              <button type="button" class="main" ?disabled=${this.state === "busy"} @click=${this.prepare}>Set it up</button>
              <span class="ready small" role="status">${this.state === "ready" ? "✓ Ready" : ""}</span>
            </div>
          </li>
          ${steps.map((step) => html`<li><p>${step}</p></li>`)}
        </ol>
        ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : ""}
      </div>
    </details>`;
  }

  private choose(index: number): void {
    this.chosen = index;
    this.state = this.error = "";
  }

  private async prepare(): Promise<void> {
    const { example, alice } = EXPERIMENTS[this.chosen]!;
    this.state = "busy";
    this.error = "";
    try {
      if (alice) await setPreferences("alice", alice(this.now()));
      const detail: PrepareDetail = { example, showsSettings: alice !== undefined };
      this.dispatchEvent(new CustomEvent("prepare", { detail }));
      this.state = "ready";
    } catch (error) {
      this.state = "";
      this.error = (error as Error).message;
    }
  }
}

function quietWindow(now: number): NonNullable<Preferences["quietSchedule"]>[number] {
  const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const time = (ms: number) => new Date(ms).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return { start: time(now - QUIET_SINCE_MS), end: time(now + QUIET_FOR_MS), timezone };
}

customElements.define("demo-guide", DemoGuide);
