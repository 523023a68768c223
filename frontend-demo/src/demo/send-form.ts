/** A form that sends a notification or simulates the send, as a back end does. */
import { LitElement, css, html, nothing, type PropertyValues } from "lit";
import type { HubConnection } from "../client/connection";
import { CHANNEL_ORDER, channelLabel, codeLabel } from "./labels";
import { Categories, Send, Simulate, type Category, type Channel, type SendInput, type Simulation } from "./sender-api";
import { sharedStyles } from "./shared-styles";
import "./simulation";

const USERS = ["alice", "bob"];
/** The channels that the hub implements. Other channels are offered if a category contains them. */
const IMPLEMENTED: Channel[] = ["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"];
const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"] as const;
const EXAMPLES = [
  { category: "reviews", title: "Carol approved your change", body: "Retry failed payments: ready to merge.", url: "/app/changes/412" },
  { category: "deploys", title: "web-9 is live", body: "Four changes, two of them yours. Errors are down by a third.", url: "/app/deploys/web-9" },
  { category: "billing", title: "Invoice 2026-131 is ready", body: "84.00 EUR, due in 14 days.", url: "/app/invoices/2026-131" },
  { category: "product", title: "Issues have due dates now", body: "Set a due date, and Acme reminds the assignee.", url: "" },
  { category: "marketing", title: "Two seats for the price of one", body: "The offer ends this month.", url: "" },
] as const;

/** Dispatches `sent` with the id of the send. */
export class DemoSendForm extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      form {
        display: grid;
        gap: 14px;
        padding: 18px;
      }
      label.field,
      fieldset {
        display: grid;
        gap: 5px;
        min-width: 0;
        margin: 0;
        padding: 0;
        border: 0;
      }
      .name {
        padding: 0;
        font-size: 0.8125rem;
        font-weight: 600;
      }
      legend {
        margin-bottom: 5px;
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 12px;
      }
      @media (max-width: 400px) {
        .pair {
          grid-template-columns: minmax(0, 1fr);
        }
      }
      .actions {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 10px;
      }
      .result {
        min-height: 1.5em;
        margin: 0;
      }
      .hint {
        display: flex;
        align-items: center;
        justify-content: space-between;
        min-height: 28px;
      }
      .choices {
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
      }
    `,
  ];
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

  constructor() {
    super();
    this.categories = [];
    this.recipients = new Set(USERS);
    this.busy = false;
    this.error = "";
    this.result = "";
    this.example = 0;
    this.category = EXAMPLES[0].category;
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("hub") && this.hub) void this.load(this.hub);
  }

  private async load(hub: HubConnection): Promise<void> {
    await this.attempt(async () => {
      this.categories = [...(await hub.query(Categories)).categories];
      if (!this.categories.some(({ key }) => key === this.category)) this.category = this.categories[0]?.key ?? "";
    });
  }

  override render() {
    const example = EXAMPLES[this.example % EXAMPLES.length]!;
    const category = this.categories.find(({ key }) => key === this.category);
    const chosen = this.channels ?? new Set<string>(category?.defaultChannels);
    return html`
      <form class="card" aria-labelledby="form" @submit=${this.submit} @input=${this.clearResult}>
        <div class="row spread">
          <h2 id="form">Send a notification</h2>
          <button type="button" class="plain" @click=${this.nextExample}>Another example</button>
        </div>
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
        <label class="field">
          <span class="name">Collapse key</span>
          <input name="collapseKey" maxlength="256" autocomplete="off" placeholder="replaces the older notification with this key" />
        </label>
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
        ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing}
        <div class="actions">
          <button type="button" ?disabled=${this.busy || !this.hub} @click=${this.simulate}>Simulate</button>
          <button class="main" ?disabled=${this.busy || !this.hub}>Send</button>
        </div>
        <p class="result small quiet" role="status">${this.result}</p>
        ${this.simulations
          ? html`<demo-simulation .simulations=${this.simulations}></demo-simulation>`
          : nothing}
      </form>
    `;
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
    const form = this.renderRoot.querySelector("form")!;
    if (!form.reportValidity()) return undefined;
    const values = new FormData(form);
    const text = (name: string) => String(values.get(name) ?? "").trim();
    if (!this.recipients.size || this.channels?.size === 0) {
      this.error = this.recipients.size ? "Choose at least one channel." : "Choose at least one recipient.";
      return undefined;
    }
    return {
      to: { users: [...this.recipients] },
      category: this.category,
      content: { title: text("title"), body: text("body"), actionUrl: text("url") || null },
      collapseKey: text("collapseKey") || null,
      priority: (text("priority") || null) as SendInput["priority"],
      channels: this.channels ? CHANNEL_ORDER.filter((channel) => this.channels!.has(channel as Channel)) as Channel[] : null,
      idempotencyKey: crypto.randomUUID(), // `mutate` may send the request again
    };
  }

  private async simulate(): Promise<void> {
    this.clearResult();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      this.simulations = [...(await this.hub!.query(Simulate, { input })).simulate];
      this.result = "Nothing was sent. The simulation shows what would happen:";
    });
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.clearResult();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      const { id } = (await this.hub!.mutate(Send, { input })).send.send;
      this.result = `Sent to ${[...this.recipients].join(" and ")}.`;
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
