/** Which channels would reach a person now, by category. Nothing is sent. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, LoadingElement, skeleton } from "./element";
import { timeOf } from "./format";
import { Simulate, SimulatedCategories, type Decision } from "./operations";
import { channelName, toneOf } from "./labels";

const AT_ONCE = 4; // simulations that run at the same time
const FIRST_CATEGORIES = 6;

interface Outcome {
  readonly key: string;
  readonly name: string;
  readonly decisions: readonly Decision[];
}

class PersonReach extends LoadingElement {
  static override properties = { user: {}, outcomes: { state: true }, all: { state: true }, categories: { state: true } };

  declare user: string;
  declare private outcomes: readonly Outcome[] | undefined;
  declare private all: boolean;
  declare private categories: number;

  protected async load(signal: AbortSignal): Promise<void> {
    const { categories } = await request(SimulatedCategories, undefined, signal);
    const shown = this.all ? categories : categories.slice(0, FIRST_CATEGORIES);
    this.categories = categories.length;
    const outcomes: Outcome[] = [];
    for (let from = 0; from < shown.length; from += AT_ONCE) {
      outcomes.push(
        ...(await Promise.all(
          shown.slice(from, from + AT_ONCE).map(async ({ key, name }) => {
            const { simulate } = await request(Simulate, { user: this.user, category: key }, signal);
            return { key, name, decisions: simulate[0]?.decisions ?? [] };
          }),
        )),
      );
    }
    this.outcomes = outcomes;
  }

  override render() {
    return html`<section aria-labelledby="reach">
      <div class="card-heading">
        <h2 id="reach">What would reach this person now</h2>
        <button class="plain" type="button" @click=${() => this.reload()}>Check again</button>
      </div>
      ${this.error ? this.errorMessage() : this.outcomes ? this.list(this.outcomes) : skeleton(3)}
    </section>`;
  }

  private list(outcomes: readonly Outcome[]) {
    if (!outcomes.length) return emptyState("There are no categories yet.");
    const hidden = this.categories - outcomes.length;
    return html`<ul class="outcomes">
        ${outcomes.map(
          ({ name, decisions }) => html`<li>
            <details>
              <summary>
                <b>${name}</b>
                <span class="chips">${oneOfEach(decisions.filter(isUsed)).map(chip)}</span>
              </summary>
              <ul>
                ${oneOfEach(decisions.filter(isUsed)).map((decision) => html`<li><b>${channelName(decision.channel)}:</b> ${sentence(decision)}</li>`)}
                ${unused(decisions)}
              </ul>
            </details>
          </li>`,
        )}
      </ul>
      ${hidden
        ? html`<button class="plain" type="button" @click=${this.showAll}>Check ${hidden} more</button>`
        : nothing}`;
  }

  private readonly showAll = (): void => {
    this.all = true;
    void this.reload();
  };
}

/** Return one decision for each channel and outcome. A channel with devices has a decision for each device. */
const oneOfEach = (decisions: readonly Decision[]): Decision[] => [
  ...new Map(decisions.map((one) => [`${one.channel} ${one.outcome}`, one])).values(),
];

const isUsed = ({ reason }: Decision): boolean => reason !== "NOT_REQUESTED";

/** Return one line for the channels that neither the send nor the category names. */
function unused(decisions: readonly Decision[]) {
  const names = oneOfEach(decisions.filter((one) => !isUsed(one))).map(({ channel }) => channelName(channel));
  return names.length ? html`<li class="small">Not used by this category: ${names.join(", ")}.</li>` : nothing;
}

/** The words for outcomes that have not happened. */
const OUTCOMES: Record<string, string> = { ACCEPTED: "now", HELD: "later", SKIPPED: "no", FAILED: "fails" };

const chip = ({ channel, outcome }: Decision) =>
  html`<span class="chip ${outcome === "ACCEPTED" ? "good" : toneOf(outcome)}"
    >${channelName(channel)} <span class="chip-status">${OUTCOMES[outcome] ?? outcome}</span></span
  >`;

function sentence({ explanation, dueAt }: Decision) {
  return html`${explanation}${dueAt ? html` It would be decided again ${timeOf(dueAt)}.` : nothing}`;
}

customElements.define("person-reach", PersonReach);
