/** Tests a rule with a stored event, or with one that a person writes. Nothing is stored or sent. */
import { html, nothing } from "lit";
import { request } from "../client";
import { LoadingElement, toError } from "../element";
import { parseJson, type Form } from "../form";
import { shortTime } from "../format";
import { channelName, toneOf } from "../labels";
import { userLink } from "../parts";
import { Event, RecentEvents, TestRule, type RecentEvent, type RuleTest as Result, type StoredEvent } from "./operations";
import { toInput, type RuleValues } from "./rule-values";

const EVENTS_SHOWN = 30;
const DECISIONS_SHOWN = 20;

/** Properties: `form`, `event` (the id of a stored event, or ""). */
class RuleTest extends LoadingElement {
  static override properties = {
    form: { attribute: false },
    event: {},
    events: { state: true },
    text: { state: true },
    result: { state: true },
    problem: { state: true },
  };

  declare form: Form<RuleValues>;
  declare event: string;
  declare private events: readonly RecentEvent[];
  /** The event as CloudEvents JSON. */
  declare private text: string;
  declare private result: Result | undefined;
  declare private problem: string;
  private taken = ""; // the id of the stored event that was chosen last

  constructor() {
    super();
    this.event = "";
    this.events = [];
    this.text = "";
    this.problem = "";
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.events = (await request(RecentEvents, { first: EVENTS_SHOWN }, signal)).events.nodes;
    if (this.event) await this.take(this.event);
  }

  private async take(id: string): Promise<void> {
    this.result = undefined;
    this.problem = "";
    this.taken = id;
    if (!id) return;
    try {
      const { event } = await request(Event, { id });
      if (event && id === this.taken) this.text = JSON.stringify(cloudEventOf(event), null, 2);
    } catch (error) {
      this.problem = toError(error).message;
    }
  }

  override render() {
    return html`<section aria-labelledby="rule-test">
      <h2 id="rule-test">Test</h2>
      ${this.errorMessage()}
      <div class="form">
        <label class="stacked">Event
          <select @change=${(event: globalThis.Event) => void this.take((event.target as HTMLSelectElement).value)}>
            <option value="">written below</option>
            ${this.events.map((one) => html`<option value=${one.id} ?selected=${one.id === this.event}>${shortTime(one.receivedAt)} ${one.type} ${one.eventId}</option>`)}
          </select></label>
        <label class="stacked">Event as JSON
          <textarea class="code" rows="8" spellcheck="false" placeholder='{"type": "com.example.order.shipped", "source": "/shop", "data": {}}'
            .value=${this.text} @input=${(event: globalThis.Event) => (this.text = (event.target as HTMLTextAreaElement).value)}></textarea></label>
        <div class="form-actions"><button type="button" @click=${this.test}>Test the rule</button></div>
        ${this.problem ? html`<p class="notice bad" role="alert">${this.problem}</p>` : nothing}
      </div>
      <div role="status">${this.result ? this.outcome(this.result) : nothing}</div>
    </section>`;
  }

  private readonly test = async (): Promise<void> => {
    this.problem = "";
    this.result = undefined;
    this.form.fail(undefined);
    try {
      const event = parseJson(this.text, "event") ?? {};
      this.result = (await request(TestRule, { input: toInput(this.form.values), event })).testRule;
    } catch (error) {
      const failure = toError(error);
      if (failure.field?.startsWith("input.") && failure.field !== "input.event") this.form.fail(failure);
      this.problem = failure.message;
    }
  };

  private outcome({ matched, reason, data, simulation }: Result) {
    const sends = matched && !reason;
    return html`<p class="notice ${sends ? "good" : "wait"}">
        <b>${sends ? "The rule would send." : matched ? "The rule matches, and would send nothing." : "The rule does not match."}</b> ${reason ?? ""}
      </p>
      ${data ? html`<pre tabindex="0" aria-label="Data of the texts">${JSON.stringify(data, null, 2)}</pre>` : nothing}
      ${simulation.map(
        ({ userId, decisions }) => html`<h3>${userLink(userId)}</h3>
          <ul class="decisions">
            ${decisions.filter(({ outcome }) => outcome !== "SKIPPED").concat(decisions.filter(({ outcome }) => outcome === "SKIPPED")).slice(0, DECISIONS_SHOWN).map(
              ({ channel, outcome, explanation }) => html`<li>
                <span class="chip ${outcome === "ACCEPTED" ? "good" : toneOf(outcome)}">${channelName(channel)}</span> ${explanation}
              </li>`,
            )}
          </ul>`,
      )}`;
  }
}

/** Return a stored event in the JSON format of CloudEvents. */
const cloudEventOf = ({ type, source, eventId, subject, time, data }: StoredEvent) =>
  ({ type, source, id: eventId, ...(subject === null ? {} : { subject }), time, data });

customElements.define("rule-test", RuleTest);
