/** The dialog that sends a template to one user, as a normal send. It first shows what would happen. */
import { html, nothing } from "lit";
import { request } from "../client";
import { LoadingElement } from "../element";
import { Form, newKey } from "../form";
import { CHANNEL_KEYS, channelName, toneOf } from "../labels";
import { Categories } from "../operations";
import { sampleOf, type Draft } from "./draft";
import { SendTest, SimulateTest, type Channel, type TestDecision, type TestInput } from "./operations";

interface Values {
  readonly to: string;
  readonly category: string;
  readonly channels: readonly Channel[];
}

/** Properties: `draft`. Events: `close`, and `done` with a sentence about the result. */
class TestDialog extends LoadingElement {
  static override properties = { draft: { attribute: false }, categories: { state: true }, decisions: { state: true } };

  declare draft: Draft;
  declare private categories: readonly { key: string; name: string }[];
  /** What would happen. Undefined until it was checked. */
  declare private decisions: readonly TestDecision[] | undefined;
  private key = ""; // a repeated call with the same key sends nothing more
  private readonly form = new Form<Values>(this, { to: "", category: "", channels: [] });

  constructor() {
    super();
    this.categories = [];
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.categories = (await request(Categories, undefined, signal)).categories;
    if (!this.form.values.category) this.form.set({ category: this.categories[0]?.key ?? "" });
  }

  override firstUpdated(): void {
    if (this.draft.channel) this.form.set({ channels: [this.draft.channel] });
    this.querySelector("dialog")?.showModal();
  }

  override render() {
    const { form, decisions } = this;
    return html`<dialog aria-labelledby="test-heading" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form class="form" @submit=${this.onSubmit}>
        <h2 id="test-heading">Send a test</h2>
        ${this.errorMessage()}
        ${decisions
          ? this.outcome(decisions)
          : html`<p>A normal send of the saved texts with the sample data. The preferences of the user apply.</p>
              ${form.text("to", "User id", { required: true })}
              ${form.select("category", "Category", this.categories.map(({ key, name }) => [key, name] as const))}
              ${form.checks("channels", "Channels", CHANNEL_KEYS.map((key) => [key, channelName(key)] as const), "Without a channel, those of the category.")}`}
        ${form.rest()}
        <div class="dialog-actions">
          <button type="button" @click=${() => (decisions ? (this.decisions = undefined) : this.querySelector("dialog")?.close())}>${decisions ? "Back" : "Cancel"}</button>
          <button class="main" ?disabled=${form.busy}>${decisions ? `Send to ${form.values.to.trim()}` : "Check"}</button>
        </div>
      </form>
    </dialog>`;
  }

  private outcome(decisions: readonly TestDecision[]) {
    const shown = decisions.filter(({ outcome }) => outcome !== "SKIPPED");
    const others = decisions.filter(({ outcome }) => outcome === "SKIPPED");
    const row = ({ channel, outcome, explanation, note }: TestDecision) => html`<li>
      <span class="chip ${outcome === "ACCEPTED" ? "good" : toneOf(outcome)}">${channelName(channel)}</span>
      ${explanation}${note ? html` <b>${note}</b>` : nothing}
    </li>`;
    return html`<p>${shown.length ? "This would happen now:" : "Nothing would be sent."}</p>
      <ul class="decisions">${[...shown, ...others].map(row)}</ul>`;
  }

  private get input(): TestInput {
    const { to, category, channels } = this.form.values;
    return {
      to: { users: [to.trim()] },
      category,
      template: { key: this.draft.key, data: sampleOf(this.draft) },
      channels: channels.length ? [...channels] : null,
      idempotencyKey: this.key,
    };
  }

  private readonly onSubmit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (!this.decisions) {
      this.key = newKey();
      const found = await this.form.submit(() => request(SimulateTest, { input: this.input }));
      if (found) this.decisions = found.simulate[0]?.decisions ?? [];
      return;
    }
    const sent = await this.form.submit(() => request(SendTest, { input: this.input }));
    if (!sent) return;
    const detail = html`The test is sent. <a href="/console/sends/${sent.send.send.id}">Open the send</a>`;
    this.dispatchEvent(new CustomEvent("done", { detail }));
    this.querySelector("dialog")?.close();
  };
}

customElements.define("test-dialog", TestDialog);
