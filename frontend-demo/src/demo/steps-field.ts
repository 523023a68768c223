/** The later steps of a send: "then email after 10 minutes unless read". */
import { LitElement, css, html, nothing } from "lit";
import { channelLabel } from "./labels";
import type { Channel, Step } from "./sender-api";
import { sharedStyles } from "./shared-styles";

const MAX_STEPS = 10;
const FIRST_STEP: Step = { channels: ["EMAIL"], after: "PT10M", unless: "READ" };
const DELAYS = { PT1M: "1 minute", PT10M: "10 minutes", PT1H: "1 hour", P1D: "1 day" } as const;
const ACK_STOPS = { ACKNOWLEDGED: "acknowledged", NEVER: "no condition" } as const;
const STOPS = { SEEN: "seen", READ: "read", ...ACK_STOPS } as const;

/** Dispatches `steps` with the new steps. */
export class DemoSteps extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        display: grid;
        gap: 10px;
      }
      fieldset {
        min-width: 0;
        margin: 0;
        padding: 10px 12px 12px;
        border: 1px solid var(--line);
        border-radius: 9px;
        background: var(--sunk);
      }
      legend {
        float: inline-start;
        padding: 0;
        font-size: 0.8125rem;
        font-weight: 600;
        line-height: 28px;
      }
      .remove {
        float: inline-end;
      }
      .fields {
        clear: both;
        display: grid;
        grid-template-columns: repeat(2, minmax(0, 1fr));
        gap: 8px;
      }
      .fields label:first-child {
        grid-column: 1 / -1;
      }
      label {
        display: grid;
        gap: 3px;
        color: var(--quiet);
      }
      select {
        padding-inline: 8px 4px;
        color: var(--text);
        font-size: 0.875rem;
      }
      .add {
        justify-self: start;
        margin-inline: -6px 0;
      }
      @media (max-width: 640px) {
        legend {
          line-height: 44px;
        }
        select {
          font-size: 16px;
        }
      }
    `,
  ];
  static override properties = { steps: { attribute: false }, channels: { attribute: false }, requireAck: { type: Boolean } };

  declare steps: readonly Step[];
  /** The channels to choose from. */
  declare channels: readonly Channel[];
  /** True if the send requires an acknowledgment. Then nothing else stops a step. */
  declare requireAck: boolean;

  override render() {
    return html`
      ${this.steps.map((step, index) => this.row(step, index))}
      ${this.steps.length < MAX_STEPS
        ? html`<button type="button" class="plain add" @click=${() => this.change([...this.steps, FIRST_STEP])}>
            ${this.steps.length ? "Add another step" : "Add a step"}
          </button>`
        : nothing}
    `;
  }

  private row(step: Step, index: number) {
    const name = `Step ${index + 1}`;
    const replace = (fields: Partial<Step>) => this.change(this.steps.with(index, { ...step, ...fields }));
    const channels = Object.fromEntries(this.channels.map((channel) => [channel, channelLabel(channel)]));
    const unless = step.unless ?? "READ";
    const stops = this.requireAck ? ACK_STOPS : STOPS;
    return html`<fieldset>
      <legend>${name}</legend>
      <button
        type="button"
        class="plain remove"
        aria-label="Remove step ${index + 1}"
        @click=${() => this.change(this.steps.toSpliced(index, 1))}
      >
        Remove
      </button>
      <div class="fields small">
        ${choose("Then", channels, step.channels[0] ?? "EMAIL", (value) => replace({ channels: [value as Channel] }))}
        ${choose("After", DELAYS, step.after ?? "PT10M", (after) => replace({ after }))}
        ${choose("Unless", stops, unless in stops ? unless : "ACKNOWLEDGED", (value) => replace({ unless: value as keyof typeof STOPS }))}
      </div>
    </fieldset>`;
  }

  private change(steps: readonly Step[]): void {
    this.dispatchEvent(new CustomEvent("steps", { detail: steps }));
  }
}

function choose(name: string, options: Record<string, string>, value: string, pick: (value: string) => void) {
  return html`<label>
    ${name}
    <select @change=${(event: Event) => pick((event.target as HTMLSelectElement).value)}>
      ${Object.entries(options).map(
        ([option, label]) => html`<option value=${option} .selected=${option === value}>${label}</option>`,
      )}
    </select>
  </label>`;
}

customElements.define("demo-steps", DemoSteps);
