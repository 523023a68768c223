/** A form that sends a notification or simulates the send, as a back end does. */
import { LitElement, html, nothing, type PropertyValues } from "lit";
import type { HubConnection } from "../client/connection";
import { CHANNEL_ORDER, channelLabel, codeLabel } from "./labels";
import {
  Categories,
  Send,
  Simulate,
  Templates,
  type Category,
  type Channel,
  type SendInput,
  type Simulation,
  type Step,
} from "./sender-api";
import { sendFormStyles } from "./send-form-styles";
import { sharedStyles } from "./shared-styles";
import "./simulation";
import "./steps-field";
import { dataOf, exampleData } from "./template-data";

const USERS = ["alice", "bob"];
/** The channels that the hub implements. Other channels are offered if a category contains them. */
const IMPLEMENTED: Channel[] = ["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"];
const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"] as const;
/** The windows of digests. */
const WINDOWS = { PT1M: "1 minute", PT10M: "10 minutes", PT1H: "1 hour", P1D: "1 day" };
const EXAMPLES = [
  { category: "reviews", title: "Carol approved your change", body: "Retry failed payments: ready to merge.", url: "/app/changes/412" },
  { category: "deploys", title: "web-9 is live", body: "Four changes, two of them yours. Errors are down by a third.", url: "/app/deploys/web-9" },
  { category: "billing", title: "Invoice 2026-131 is ready", body: "84.00 EUR, due in 14 days.", url: "/app/invoices/2026-131" },
  { category: "product", title: "Issues have due dates now", body: "Set a due date, and Acme reminds the assignee.", url: "" },
  { category: "marketing", title: "Two seats for the price of one", body: "The offer ends this month.", url: "" },
] as const;

/** The browser cannot show an error in closed details. `invalid` does not bubble. */
const OPEN_IF_INVALID = {
  capture: true,
  handleEvent: (event: Event) => ((event.currentTarget as HTMLDetailsElement).open = true),
};

/** Dispatches `sent` with the id of the send. */
export class DemoSendForm extends LitElement {
  static override styles = [sharedStyles, sendFormStyles];
  static override properties = {
    hub: { attribute: false },
    categories: { state: true },
    recipients: { state: true },
    category: { state: true },
    channels: { state: true },
    busy: { state: true },
    simulations: { state: true },
    error: { state: true },
    result: { state: true },
    example: { state: true },
    templates: { state: true },
    template: { state: true },
    steps: { state: true },
  };

  declare hub: HubConnection | undefined;
  declare private categories: Category[];
  declare private recipients: ReadonlySet<string>;
  declare private category: string;
  declare private channels: ReadonlySet<Channel> | undefined; // undefined means the category's channels
  declare private busy: boolean;
  declare private simulations: Simulation[] | undefined;
  declare private error: string;
  declare private result: string;
  declare private example: number;
  declare private templates: ReadonlyMap<string, readonly string[]>; // the variables of each key
  declare private template: string | undefined; // undefined means a title and a body
  declare private steps: readonly Step[];

  constructor() {
    super();
    this.categories = [];
    this.recipients = new Set(USERS);
    this.busy = false;
    this.error = "";
    this.result = "";
    this.example = 0;
    this.templates = new Map();
    this.steps = [];
    this.category = EXAMPLES[0].category;
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("hub") && this.hub) void this.load(this.hub);
  }

  private async load(hub: HubConnection): Promise<void> {
    await this.attempt(async () => {
      const [{ categories }, { templates }] = await Promise.all([hub.query(Categories), hub.query(Templates)]);
      const variables = new Map<string, string[]>();
      for (const text of templates) variables.set(text.key, [...(variables.get(text.key) ?? []), ...text.variables]);
      this.templates = variables;
      this.categories = [...categories];
      if (!this.categories.some(({ key }) => key === this.category)) this.category = this.categories[0]?.key ?? "";
    });
  }

  override render() {
    const category = this.categories.find(({ key }) => key === this.category);
    const chosen = this.channels ?? new Set<string>(category?.defaultChannels);
    return html`
      <form class="card" aria-labelledby="form" @submit=${this.submit} @input=${this.clearResult}>
        <div class="row spread">
          <h2 id="form">Send a notification</h2>
          ${this.template === undefined
            ? html`<button type="button" class="plain" @click=${this.nextExample}>Another example</button>`
            : nothing}
        </div>
        ${this.templates.size ? this.textChoice() : nothing}
        ${this.template === undefined ? this.contentFields() : this.templateFields(this.template)}
        <div class="pair">
          <label class="field">
            <span class="name">Category</span>
            <select name="category" .value=${this.category} @change=${this.pickCategory}>
              ${this.categories.map(
                ({ key, name }) => html`<option value=${key} ?selected=${key === this.category}>${name}</option>`,
              )}
            </select>
          </label>
          <label class="field">
            <span class="name">Priority</span>
            <select name="priority">
              <option value="">${category ? `${codeLabel(category.priority)} (default)` : "Default"}</option>
              ${PRIORITIES.map((priority) => html`<option value=${priority}>${codeLabel(priority)}</option>`)}
            </select>
          </label>
        </div>
        <fieldset>
          <legend class="name">Recipients</legend>
          <div class="choices">
            ${USERS.map((user) => this.choice(user, user, this.recipients.has(user), () => this.pickRecipient(user)))}
          </div>
        </fieldset>
        <fieldset>
          <legend class="name">Channels</legend>
          <div class="choices">
            ${this.offered.map((channel) =>
              this.choice(channel, channelLabel(channel), chosen.has(channel), () => this.pickChannel(channel, chosen)),
            )}
          </div>
          <div class="hint small quiet">
            ${this.channels
              ? html`Custom<button type="button" class="plain" @click=${this.resetChannels}>
                    Reset to category defaults
                  </button>`
              : "Category defaults"}
          </div>
        </fieldset>
        ${this.moreOptions()}
        ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing}
        <div class="actions">
          <button type="button" ?disabled=${this.busy || !this.hub} @click=${this.simulate}>Simulate</button>
          <button class="main" ?disabled=${this.busy || !this.hub}>Send</button>
        </div>
        <p class="result small quiet" role="status">${this.result}</p>
        ${this.simulations
          ? html`<demo-simulation
              .simulations=${this.simulations}
              .now=${this.hub?.now()}
              .withTitles=${this.template !== undefined}
            ></demo-simulation>`
          : nothing}
      </form>
    `;
  }

  private textChoice() {
    const [first] = this.templates.keys();
    const choose = (template: string | undefined) => () => (this.template = template);
    return html`<fieldset>
      <legend class="name">Text</legend>
      <div class="choices">
        <label class="choice">
          <input type="radio" name="text" .checked=${this.template === undefined} @change=${choose(undefined)} />Written here
        </label>
        <label class="choice">
          <input type="radio" name="text" .checked=${this.template !== undefined} @change=${choose(first)} />Template
        </label>
      </div>
    </fieldset>`;
  }

  private contentFields() {
    const example = EXAMPLES[this.example % EXAMPLES.length]!;
    return html`
      <label class="field">
        <span class="name">Title</span>
        <input name="title" required maxlength="256" autocomplete="off" .value=${example.title} />
      </label>
      <label class="field">
        <span class="name">Body</span>
        <textarea name="body" rows="2" maxlength="4000" .value=${example.body}></textarea>
      </label>
      <label class="field">
        <span class="name">Link</span>
        <input name="url" autocomplete="off" placeholder="/app/path or https://…" .value=${example.url} />
      </label>
    `;
  }

  private templateFields(template: string) {
    const data = exampleData(template, this.templates.get(template) ?? []);
    return html`
      <label class="field">
        <span class="name">Stored template</span>
        <select @change=${(event: Event) => (this.template = (event.target as HTMLSelectElement).value)}>
          ${[...this.templates.keys()].map(
            (key) => html`<option value=${key} .selected=${key === template}>${key}</option>`,
          )}
        </select>
      </label>
      <label class="field">
        <span class="name">Data (JSON)</span>
        <textarea name="data" class="code" rows="6" spellcheck="false" .value=${data}></textarea>
      </label>
    `;
  }

  private moreOptions() {
    return html`<details @invalid=${OPEN_IF_INVALID}>
      <summary>More options</summary>
      <div class="options">
        <fieldset>
          <legend class="name">Then, later</legend>
          <demo-steps .steps=${this.steps} .channels=${this.offered} @steps=${this.changeSteps}></demo-steps>
        </fieldset>
        <label class="field">
          <span class="name">Send at</span>
          <input name="sendAt" type="datetime-local" aria-describedby="send-at" />
          <span id="send-at" class="small quiet">Your local time. Empty sends now.</span>
        </label>
        <div class="pair">
          <label class="field">
            <span class="name">Digest key</span>
            <input name="digest" maxlength="256" autocomplete="off" aria-describedby="digest" />
          </label>
          <label class="field">
            <span class="name">Gather for</span>
            <select name="window">
              ${Object.entries(WINDOWS).map(([window, name]) => html`<option value=${window}>${name}</option>`)}
            </select>
          </label>
          <span id="digest" class="small quiet">Gathers messages with the same key in one.</span>
        </div>
        <label class="field">
          <span class="name">Collapse key</span>
          <input name="collapseKey" maxlength="256" autocomplete="off" aria-describedby="collapse-key" />
          <span id="collapse-key" class="small quiet">Replaces the older notification with the same key.</span>
        </label>
      </div>
    </details>`;
  }

  private changeSteps(event: CustomEvent<readonly Step[]>): void {
    this.steps = event.detail;
    this.clearResult();
  }

  private get offered(): Channel[] {
    return [...new Set([...IMPLEMENTED, ...this.categories.flatMap(({ defaultChannels }) => defaultChannels)])];
  }

  private choice(value: string, name: string, checked: boolean, pick: () => void) {
    return html`<label class="choice">
      <input type="checkbox" value=${value} .checked=${checked} @change=${pick} />${name}
    </label>`;
  }

  private nextExample(): void {
    this.example++;
    this.category = EXAMPLES[this.example % EXAMPLES.length]!.category;
    this.channels = undefined;
    this.clearResult();
  }

  /** A change of the form invalidates the simulation. */
  private clearResult(): void {
    this.simulations = undefined;
    this.error = this.result = "";
  }

  private pickCategory(event: Event): void {
    this.category = (event.target as HTMLSelectElement).value;
  }

  private pickRecipient(user: string): void {
    this.recipients = toggled(this.recipients, user);
  }

  private pickChannel(channel: Channel, chosen: ReadonlySet<string>): void {
    this.channels = toggled(chosen as ReadonlySet<Channel>, channel);
  }

  private resetChannels(): void {
    this.channels = undefined;
    this.clearResult();
  }

  /** Return the values of the form. If a value is missing, show an error and return undefined. */
  private input(): SendInput | undefined {
    try {
      return this.validInput();
    } catch (error) {
      this.error = (error as Error).message;
      return undefined;
    }
  }

  private validInput(): SendInput | undefined {
    const form = this.renderRoot.querySelector("form")!;
    if (!form.reportValidity()) return undefined;
    const values = new FormData(form);
    const text = (name: string) => String(values.get(name) ?? "").trim();
    if (!this.recipients.size || this.channels?.size === 0) {
      throw new Error(this.recipients.size ? "Choose at least one channel." : "Choose at least one recipient.");
    }
    const content = { title: text("title"), body: text("body"), actionUrl: text("url") || null };
    const defaults = this.categories.find(({ key }) => key === this.category)?.defaultChannels ?? [];
    // With steps and without channels, the steps would be the only deliveries.
    const chosen = this.channels ?? (this.steps.length ? new Set(defaults) : undefined);
    return {
      to: { users: [...this.recipients] },
      category: this.category,
      ...(this.template === undefined
        ? { content }
        : { template: { key: this.template, data: dataOf(text("data")) } }),
      steps: this.steps.length ? [...this.steps] : null,
      requireAck: this.steps.some(({ unless }) => unless === "ACKNOWLEDGED"),
      sendAt: text("sendAt") ? new Date(text("sendAt")).toISOString() : null,
      digest: text("digest") ? { key: text("digest"), window: text("window") } : null,
      collapseKey: text("collapseKey") || null,
      priority: (text("priority") || null) as SendInput["priority"],
      channels: chosen ? (CHANNEL_ORDER as Channel[]).filter((channel) => chosen.has(channel)) : null,
      idempotencyKey: crypto.randomUUID(), // `mutate` may send the request again
    };
  }

  private async simulate(): Promise<void> {
    this.clearResult();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      this.simulations = [...(await this.hub!.query(Simulate, { input })).simulate];
      this.result = "Nothing was sent. This is what would happen:";
    });
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.clearResult();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      const { id } = (await this.hub!.mutate(Send, { input })).send.send;
      this.result = `${input.sendAt ? "Scheduled for" : "Sent to"} ${[...this.recipients].join(" and ")}.`;
      this.dispatchEvent(new CustomEvent("sent", { detail: id }));
    });
  }

  private async attempt(step: () => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await step();
    } catch (error) {
      this.error = (error as Error).message;
    } finally {
      this.busy = false;
    }
  }
}

function toggled<T>(set: ReadonlySet<T>, value: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(value)) next.add(value);
  return next;
}

customElements.define("demo-send-form", DemoSendForm);
