/** Writes a send: to users, a topic, everyone, or a filter. The page shows its effect before it can be confirmed. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { Form, newKey } from "../form";
import { counted, fullTime } from "../format";
import { pageHeading } from "../parts";
import { address, navigate } from "../router";
import { Audience, ComposeNames, SendNow, SimulateSend, type Audience as Counted, type ComposeNames as Names, type SendInput, type Simulation } from "./operations";
import { sendFields } from "./send-fields";
import { outcomeOf } from "./send-outcome";
import { EMPTY_SEND, toInput, type SendValues } from "./send-values";

const SIMULATED = 20;

/** What a checked send would do. */
interface Checked {
  readonly input: SendInput;
  readonly audience: Counted;
  readonly simulation: readonly Simulation[];
}

/** What a person wrote, until it is sent or the tab is closed. */
let draft = EMPTY_SEND;

class ComposePage extends ActingElement {
  static override properties = {
    names: { state: true },
    checked: { state: true },
    recipient: { state: true },
  };

  declare private names: Names | undefined;
  /** Undefined if a value was changed since the last check. */
  declare private checked: Checked | undefined;
  declare private recipient: string;
  private readonly form = new Form<SendValues>(this, draft);

  constructor() {
    super();
    this.recipient = "";
    this.form.onChange = () => {
      draft = this.form.values;
      this.checked = undefined;
      this.form.fail(undefined);
    };
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.names = await request(ComposeNames, undefined, signal);
  }

  override render() {
    const { checked } = this;
    return html`${pageHeading("New send")} ${this.feedback()} ${this.errorMessage()}
      <div class="editor">
        <form class="card form" aria-label="Send" @submit=${this.check}>
          ${sendFields(this.form, this.names)} ${this.form.rest()}
          <div class="form-actions">
            <button class=${checked ? "" : "main"} ?disabled=${this.form.busy}>Check</button>
            <button type="button" @click=${this.clear}>Clear</button>
          </div>
        </form>
        <section class="card outcome" aria-labelledby="outcome">
          <h2 id="outcome">What would happen</h2>
          <div role="status">${checked ? nothing : html`<p class="quiet">Check the send to see the recipients and their texts. Nothing is sent.</p>`}</div>
          ${checked
            ? html`${outcomeOf(checked.audience, checked.simulation, this.recipient, (user) => (this.recipient = user))}
                <div class="form-actions">
                  <button class="main" type="button" ?disabled=${!checked.audience.recipients} @click=${() => this.confirm(checked)}>
                    ${checked.input.sendAt ? "Schedule" : "Send"} to ${recipientsOf(checked)}…</button>
                </div>`
            : nothing}
        </section>
      </div>`;
  }

  private readonly check = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    this.checked = undefined;
    this.checked = await this.form.submit(async () => {
      const input = toInput(this.form.values, newKey()); // a repeated call sends nothing more
      const { simulate } = await request(SimulateSend, { input, first: SIMULATED });
      const { audience } = await request(Audience, { to: input.to });
      return { input, audience, simulation: simulate };
    });
  };

  private readonly clear = (): void => {
    draft = EMPTY_SEND;
    this.checked = undefined;
    this.form.reset(draft);
  };

  private confirm(checked: Checked): void {
    const { input, audience } = checked;
    this.confirmation = {
      heading: input.sendAt ? "Schedule the send" : "Send now",
      content: html`<p><b><bdi>${input.content?.title ?? `Template ${input.template?.key}`}</bdi></b></p>
        <p>To ${recipientsOf(checked)}${input.sendAt ? `, ${fullTime(input.sendAt)}` : ""}.
          ${input.except?.length ? "The number includes those who do not get it." : ""}</p>`,
      action: `${input.sendAt ? "Schedule" : "Send"} to ${recipientsOf(checked)}`,
      items: audience.recipients,
      run: async () => {
        const { send } = await request(SendNow, { input });
        draft = EMPTY_SEND;
        navigate(address("sends", send.send.id));
        return "";
      },
    };
  }
}

const recipientsOf = ({ audience: { exact, recipients } }: Checked): string =>
  `${exact ? "" : "about "}${counted(recipients, "recipient", "recipients")}`;

customElements.define("compose-page", ComposePage);
