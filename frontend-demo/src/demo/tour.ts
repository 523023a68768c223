/** The tour of the demo page in six steps. It is offered until the visitor ends or declines it. `?tour` starts it. */
import { LitElement, css, html, nothing, type PropertyValues } from "lit";
import { sharedStyles } from "./shared-styles";

const DONE_KEY = "hub-demo-tour";

export interface TourStep {
  title: string;
  text: string;
  /** The selector of the part of the page that the step is about. */
  target: string;
  /** What the page shows then: alice's two devices, or her settings on one of them. */
  shows?: "devices" | "settings";
  /** The name of the experiment that fills in the form. */
  example?: string;
}

const STEPS: readonly TourStep[] = [
  {
    title: "A service sends",
    text: "Every notification starts with one call of the API, which this form makes. Change the title, then press Send.",
    target: "demo-send-form",
  },
  {
    title: "It arrives on all devices",
    text: "Alice has two devices open. Open both bells, and press Send: both show the notification at once. Read it on one device, and the other follows.",
    target: ".devices",
    shows: "devices",
  },
  {
    title: "Users act on it",
    text: "The form has two buttons now. Press Send, then Approve in one of alice's bells. The choice is done on both devices, and the service receives it.",
    target: ".devices",
    shows: "devices",
    example: "Approval",
  },
  {
    title: "Users decide what reaches them",
    text: "These are alice's preferences. Turn Browser off for Reviews, and press Send: the receipts say that she turned it off.",
    target: ".devices",
    shows: "settings",
    example: "Quiet hours",
  },
  {
    title: "Not now, and not one by one",
    text: "Digest and Quiet hours set up an experiment each. Moving the clock forward at the top of the page shows in seconds what takes hours.",
    target: "demo-guide",
  },
  {
    title: "What the operator sees",
    text: "Each delivery has a status, a reason, and receipts, which are live. Below are the events, the outbox with the messages of all channels, the audit log, and the service keys.",
    target: "demo-receipts",
  },
];

/** Dispatches `step` with the step that is shown, or undefined at the end. */
class DemoTour extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      .offer {
        display: flex;
        align-items: center;
        flex-wrap: wrap;
        gap: 8px 12px;
        max-width: 1400px;
        margin: 0 auto 20px;
        padding: 10px 18px;
      }
      .offer p {
        flex: 1 1 240px;
        margin: 0;
      }
      .step {
        position: fixed;
        inset-block-end: 20px;
        inset-inline-end: 20px;
        z-index: 2;
        width: min(360px, 100vw - 24px);
        padding: 16px 18px;
        border: 2px solid var(--accent);
      }
      h2:focus {
        outline: none; /* it has the focus for screen readers */
      }
      .step p {
        margin: 4px 0 14px;
        font-size: 0.9375rem;
      }
      .step .row {
        justify-content: flex-end;
      }
      .step .row :first-child {
        margin-inline-end: auto;
      }
      @media (max-width: 1440px) {
        .offer {
          margin-inline: 20px;
        }
      }
      @media (max-width: 640px) {
        .offer {
          margin-inline: 12px;
        }
        .step {
          inset: auto 12px 12px;
          width: auto;
        }
        button {
          min-height: 44px;
        }
      }
    `,
  ];
  static override properties = { at: { state: true } };

  /** The index of the step, -1 for the offer, or undefined. */
  declare private at: number | undefined;

  constructor() {
    super();
    if (new URLSearchParams(location.search).has("tour")) this.at = 0;
    else if (!localStorage.getItem(DONE_KEY)) this.at = -1;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("keydown", this.onKey);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("keydown", this.onKey);
  }

  override render() {
    if (this.at === undefined) return nothing;
    if (this.at < 0) {
      return html`<section class="offer card" aria-label="Tour">
        <p><strong>New here?</strong> The tour shows the hub in six steps.</p>
        <button type="button" class="main" @click=${() => (this.at = 0)}>Start the tour</button>
        <button type="button" @click=${this.end}>Not now</button>
      </section>`;
    }
    const { title, text } = STEPS[this.at]!;
    const isLast = this.at === STEPS.length - 1;
    return html`<section class="step card" role="dialog" aria-labelledby="title" aria-describedby="text">
      <span class="small quiet">Step ${this.at + 1} of ${STEPS.length}</span>
      <h2 id="title" tabindex="-1">${title}</h2>
      <p id="text">${text}</p>
      <div class="row">
        <button type="button" @click=${this.end} ?hidden=${isLast}>End the tour</button>
        <button type="button" ?disabled=${this.at === 0} @click=${() => this.at!--}>Back</button>
        <button type="button" class="main" @click=${isLast ? this.end : () => this.at!++}>${isLast ? "Done" : "Next"}</button>
      </div>
    </section>`;
  }

  protected override updated(changed: PropertyValues<{ at: number | undefined }>): void {
    const step = STEPS[this.at ?? -1];
    if (!step || !changed.has("at")) return;
    this.show(step);
    this.renderRoot.querySelector("h2")!.focus({ preventScroll: true });
  }

  private show(step: TourStep | undefined): void {
    this.dispatchEvent(new CustomEvent("step", { detail: step }));
  }

  private readonly end = (): void => {
    this.at = undefined;
    localStorage.setItem(DONE_KEY, "done");
    this.show(undefined);
  };

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && !event.defaultPrevented && (this.at ?? -1) >= 0) this.end();
  };
}

customElements.define("demo-tour", DemoTour);
