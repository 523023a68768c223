/** A form that sends a notification or simulates the send, as a back end does. */
import { LitElement, html, nothing, type PropertyValues } from "lit";
import { HubError, type HubConnection } from "../../packages/client/src/connection";
import type { DemoAudienceCount } from "./audience-count";
import { checkbox, problem, selectField, textArea, textField, type FieldProps } from "./fields";
import { channelLabel, codeLabel } from "./labels";
import { recipientFields } from "./recipients";
import {
  Categories,
  SIMULATED,
  Send,
  Simulate,
  Templates,
  Topics,
  type Category,
  type Channel,
  type SendInput,
  type Simulation,
  type Step,
  type Topic,
} from "./sender-api";
import { sendFormStyles } from "./send-form-styles";
import { sendOptions } from "./send-options";
import {
  EXAMPLES,
  InvalidField,
  recipientsText,
  toSendInput,
  valuesOf,
  type Example,
  type Fields,
  type RecipientKind,
  type SendValues,
} from "./send-values";
import { sharedStyles } from "./shared-styles";
import "./simulation";
import { exampleData } from "./template-data";

/** The channels that the hub implements. Other channels are offered if a category contains them. */
const IMPLEMENTED: Channel[] = [
  ...(["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "SMS", "WHATSAPP", "WEBHOOK"] as const),
  ...(["SLACK", "DISCORD", "TEAMS"] as const),
];
/** What can have an error, apart from `Fields`. */
const GROUPS = ["to", "channels", "steps", "template.key"];
const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"] as const;

/** Dispatches `sent` with the id of the send. */
export class DemoSendForm extends LitElement {
  static override styles = [sharedStyles, sendFormStyles];
  static override properties = {
    hub: { attribute: false },
    categories: { state: true },
    templates: { state: true },
    topics: { state: true },
    values: { state: true },
    busy: { state: true },
    simulations: { state: true },
    errors: { state: true },
    result: { state: true },
  };

  declare hub: HubConnection | undefined;
  declare private categories: Category[];
  declare private templates: ReadonlyMap<string, readonly string[]>; // the variables of each key
  declare private topics: readonly Topic[] | undefined;
  declare private values: SendValues;
  declare private busy: boolean;
  declare private simulations: Simulation[] | undefined;
  declare private errors: Readonly<Record<string, string>>; // by field; `form` is the error of no field
  declare private result: string;
  private example = 0;

  constructor() {
    super();
    this.categories = [];
    this.templates = new Map();
    this.values = valuesOf(EXAMPLES[0]!);
    this.busy = false;
    this.errors = {};
    this.result = "";
  }

  /** Set all values of the form, and open the groups of options that have a value. */
  async fill(example: Example): Promise<void> {
    this.values = valuesOf(example);
    this.clearResult();
    await this.updateComplete;
    for (const group of this.renderRoot.querySelectorAll("details")) group.open = group.classList.contains("set");
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("hub") && this.hub) void this.load(this.hub);
  }

  private async load(hub: HubConnection): Promise<void> {
    await this.attempt(async () => {
      const [{ categories }, { templates }] = await Promise.all([hub.query(Categories), hub.query(Templates)]);
      const variables = new Map<string, string[]>();
      for (const { key, variables: names } of templates)
        if (!key.startsWith("_")) variables.set(key, [...(variables.get(key) ?? []), ...names]); // not the layouts
      this.templates = variables;
      this.categories = [...categories];
      const [first] = this.categories;
      if (first && !this.category) this.change({ category: first.key });
    });
  }

  private get category(): Category | undefined {
    return this.categories.find(({ key }) => key === this.values.fields.category);
  }

  override render() {
    const { steps, template } = this.values;
    const props = { fields: this.values.fields, errors: this.errors };
    return html`
      <form class="card" aria-labelledby="form" @submit=${this.submit} @input=${this.onInput}>
        <div class="row spread">
          <h2 id="form">Send a notification</h2>
          ${template === undefined
            ? html`<button type="button" class="plain" @click=${this.nextExample}>Another example</button>`
            : nothing}
        </div>
        ${this.templates.size ? this.textChoice() : nothing}
        ${template === undefined ? this.contentFields(props) : this.templateFields(props, template)}
        <div class="pair">
          ${selectField(props, "category", "Category", Object.fromEntries(this.categories.map(({ key, name }) => [key, name])))}
          ${selectField(props, "priority", "Priority", this.priorities)}
        </div>
        ${recipientFields({
          ...props,
          hub: this.hub,
          values: this.values,
          topics: this.topics,
          pick: this.pickRecipients,
          toggle: (user) => this.set({ users: toggled(this.values.users, user) }),
          refused: ({ detail }) => void this.showError(detail, false),
        })}
        ${this.channelFields(props)}
        ${sendOptions({ ...props, steps, channels: this.offered, changeSteps: this.changeSteps })}
        <div class="actions">
          ${this.errors.form ? html`<p class="error small" role="alert">${this.errors.form}</p>` : nothing}
          <p class="result small quiet" role="status">${this.result}</p>
          <button type="button" ?disabled=${this.busy || !this.hub} @click=${this.simulate}>Simulate</button>
          <button class="main" ?disabled=${this.busy || !this.hub}>Send</button>
        </div>
        ${this.simulations
          ? html`<demo-simulation
              .simulations=${this.simulations}
              .now=${this.hub?.now()}
              .withTitles=${template !== undefined}
            ></demo-simulation>`
          : nothing}
      </form>
    `;
  }

  private get priorities(): Record<string, string> {
    const byDefault = this.category ? `${codeLabel(this.category.priority)} (default)` : "Default";
    return { "": byDefault, ...Object.fromEntries(PRIORITIES.map((priority) => [priority, codeLabel(priority)])) };
  }

  private textChoice() {
    const [first] = this.templates.keys();
    const choice = (template: string | undefined, name: string) => html`<label class="choice">
      <input
        type="radio"
        name="text"
        .checked=${(this.values.template === undefined) === (template === undefined)}
        @change=${() => this.pickTemplate(template)}
      />${name}
    </label>`;
    return html`<fieldset>
      <legend class="name">Text</legend>
      <div class="choices">${choice(undefined, "Written here")} ${choice(first, "Template")}</div>
    </fieldset>`;
  }

  private contentFields(props: FieldProps) {
    return html`
      ${textField(props, "content.title", "Title", { required: true })}
      <div class="field">
        ${textArea(props, "content.body", "Body", { rows: 2 })} ${checkbox(props, "content.markdown", "Markdown")}
      </div>
      ${textField(props, "content.actionUrl", "Link", { placeholder: "/app/path or https://…" })}
      <div class="pair">
        ${textField(props, "content.actions", "Buttons", { placeholder: "Approve, Reject" })}
        ${textField(props, "content.actor.name", "Actor", { placeholder: "Name of a person or a system" })}
      </div>
    `;
  }

  private templateFields(props: FieldProps, template: string) {
    return html`
      <div class="field">
        <label class="name" for="template.key">Stored template</label>
        <select id="template.key" @change=${(event: Event) => this.pickTemplate((event.target as HTMLSelectElement).value)}>
          ${[...this.templates.keys()].map(
            (key) => html`<option value=${key} .selected=${key === template}>${key}</option>`,
          )}
        </select>
        ${problem(props, "template.key")}
      </div>
      ${textArea(props, "template.data", "Data (JSON)", { rows: 6, code: true })}
    `;
  }

  private channelFields(props: FieldProps) {
    const { channels } = this.values;
    const chosen = channels ?? new Set(this.category?.defaultChannels);
    return html`<fieldset>
      <legend class="name">Channels</legend>
      <div class="choices">
        ${this.offered.map(
          (channel) => html`<label class="choice">
            <input
              type="checkbox"
              value=${channel}
              .checked=${chosen.has(channel)}
              @change=${() => this.set({ channels: toggled(chosen, channel) })}
            />${channelLabel(channel)}
          </label>`,
        )}
      </div>
      <div class="hint small quiet">
        ${channels
          ? html`Custom<button type="button" class="plain" @click=${() => this.set({ channels: undefined })}>
                Reset to category defaults
              </button>`
          : "Category defaults"}
      </div>
      ${problem(props, "channels")}
    </fieldset>`;
  }

  private get offered(): Channel[] {
    return [...new Set([...IMPLEMENTED, ...this.categories.flatMap(({ defaultChannels }) => defaultChannels)])];
  }

  /** Every change of a field. */
  private onInput(event: Event): void {
    const { name, type, checked, value } = event.composedPath()[0] as HTMLInputElement;
    if (name in this.values.fields) this.change({ [name]: type === "checkbox" ? checked : value });
  }

  private change(fields: Partial<Fields>): void {
    this.set({ fields: { ...this.values.fields, ...fields } });
  }

  /** A change of the form invalidates the simulation and the errors. */
  private set(values: Partial<SendValues>): void {
    this.values = { ...this.values, ...values };
    this.clearResult();
  }

  private clearResult(): void {
    this.simulations = undefined;
    this.errors = {};
    this.result = "";
  }

  private nextExample(): void {
    this.example = (this.example + 1) % EXAMPLES.length;
    void this.fill(EXAMPLES[this.example]!);
  }

  private pickTemplate(template: string | undefined): void {
    this.set({ template });
    if (template !== undefined)
      this.change({ "template.data": exampleData(template, this.templates.get(template) ?? []) });
  }

  private readonly pickRecipients = (recipients: RecipientKind): void => {
    this.set({ recipients });
    if (recipients === "topic") void this.loadTopics();
  };

  private async loadTopics(): Promise<void> {
    await this.attempt(async () => {
      this.topics = (await this.hub!.query(Topics)).topics.nodes;
      const chosen = this.values.fields["to.topic"];
      if (!this.topics.some(({ key }) => key === chosen)) this.change({ "to.topic": this.topics[0]?.key ?? "" });
    });
  }

  private readonly changeSteps = ({ detail: steps }: CustomEvent<readonly Step[]>): void => {
    this.set({ steps });
    if (steps.some(({ unless }) => unless === "ACKNOWLEDGED")) this.change({ requireAck: true });
  };

  private async simulate(): Promise<void> {
    await this.withInput(async (hub, input) => {
      this.simulations = [...(await hub.query(Simulate, { input, first: SIMULATED })).simulate];
      this.result = `Nothing was sent. ${this.simulated(this.simulations.length)}`;
      void this.renderRoot.querySelector<DemoAudienceCount>("demo-audience-count")?.count();
      await this.updateComplete;
      this.renderRoot.querySelector("demo-simulation")?.scrollIntoView({ block: "nearest" });
    });
  }

  /** Return the heading of the decisions for `users` users. */
  private simulated(users: number): string {
    if (this.values.recipients === "users") return "This is what would happen:";
    if (!users) return "Nobody would get it.";
    const people = users === 1 ? "1 user" : users < SIMULATED ? `${users} users` : `the first ${users} users`;
    return `This is what would happen to ${people}:`;
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    await this.withInput(async (hub, input) => {
      const { id } = (await hub.mutate(Send, { input })).send.send;
      this.result = `${input.sendAt ? "Scheduled for" : "Sent to"} ${recipientsText(this.values)}.`;
      this.dispatchEvent(new CustomEvent("sent", { detail: id }));
    });
  }

  /** Call `step` with the values of the form if they are valid. */
  private async withInput(step: (hub: HubConnection, input: SendInput) => Promise<void>): Promise<void> {
    this.clearResult();
    if (!this.renderRoot.querySelector("form")!.reportValidity()) return;
    await this.attempt(() => step(this.hub!, toSendInput(this.values, this.categories)));
  }

  private async attempt(step: () => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await step();
    } catch (error) {
      await this.showError(error as Error, true);
    } finally {
      this.busy = false;
    }
  }

  /** Show the error next to its field. With `focus`, move the focus there. */
  private async showError(error: Error, focus: boolean): Promise<void> {
    const field = this.fieldOf(error);
    const part = pathOf(error).slice(`${field}.`.length); // such as `and[1].locale` of a filter
    this.errors = { [field]: field === "to.where" && part ? `${part}: ${error.message}` : error.message };
    await this.updateComplete;
    const message = this.renderRoot.querySelector(`[id="${field}-error"]`);
    if (!message) {
      this.errors = { form: error.message };
      return;
    }
    if (!focus) return;
    const group = message.closest("details");
    if (group) group.open = true;
    this.renderRoot.querySelector<HTMLElement>(`[id="${field}"]`)?.focus();
    message.scrollIntoView({ block: "nearest" });
  }

  /** Return the field of the path in the error, which may be a part of it: `steps` for `input.steps.0.after`. */
  private fieldOf(error: Error): string {
    const names = pathOf(error).split(".");
    while (names.length && !(names.join(".") in this.values.fields || GROUPS.includes(names.join(".")))) names.pop();
    return names.join(".") || "form";
  }
}

function pathOf(error: Error): string {
  const path = error instanceof InvalidField || error instanceof HubError ? error.field : undefined;
  return path?.replace(/^input\./, "") ?? "";
}

function toggled<T>(set: ReadonlySet<T>, value: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(value)) next.add(value);
  return next;
}

customElements.define("demo-send-form", DemoSendForm);
