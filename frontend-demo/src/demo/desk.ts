/** The sender's desk: what a service would send, to whom, and what the hub would make of it. */
import { LitElement, css, html, nothing, type PropertyValues } from "lit";
import type { Hub } from "../hub/connection";
import { look } from "./look";
import { CHANNEL_ORDER, channelName, statusName } from "./names";
import { Categories, Send, Simulate, type Category, type Channel, type SendInput, type Simulation } from "./service";
import "./simulation";

const PEOPLE = ["alice", "bob"];
/** What a hub can send. Others are offered where a category names them. */
const SENT: Channel[] = ["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"];
const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"] as const;
const EXAMPLES = [
  { category: "reviews", title: "Carol approved your change", body: "Retry failed payments: ready to merge.", url: "/app/changes/412" },
  { category: "deploys", title: "web-9 is live", body: "Four changes, two of them yours. Errors are down by a third.", url: "/app/deploys/web-9" },
  { category: "billing", title: "Invoice 2026-131 is ready", body: "84.00 EUR, due in 14 days.", url: "/app/invoices/2026-131" },
  { category: "product", title: "Issues have due dates now", body: "Set one, and the hub reminds whoever is assigned.", url: "" },
  { category: "marketing", title: "Two seats for one", body: "Until the end of the month.", url: "" },
] as const;

/** Event: `sent`, with the id of the send. */
export class DemoDesk extends LitElement {
  static override styles = [
    look,
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
      .actions {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 10px;
      }
      .said {
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
    people: { state: true },
    category: { state: true },
    channels: { state: true },
    busy: { state: true },
    simulations: { state: true },
    fault: { state: true },
    said: { state: true },
    example: { state: true },
  };

  declare hub: Hub | undefined;
  declare private categories: Category[];
  declare private people: ReadonlySet<string>;
  declare private category: string;
  declare private channels: ReadonlySet<Channel> | undefined; // undefined: the category's
  declare private busy: boolean;
  declare private simulations: Simulation[] | undefined;
  declare private fault: string;
  declare private said: string;
  declare private example: number;

  constructor() {
    super();
    this.categories = [];
    this.people = new Set(PEOPLE);
    this.busy = false;
    this.fault = "";
    this.said = "";
    this.example = 0;
    this.category = EXAMPLES[0].category;
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("hub") && this.hub) void this.load(this.hub);
  }

  private async load(hub: Hub): Promise<void> {
    await this.attempt(async () => {
      this.categories = [...(await hub.query(Categories)).categories];
      if (!this.categories.some(({ key }) => key === this.category)) this.category = this.categories[0]?.key ?? "";
    });
  }

  override render() {
    const example = EXAMPLES[this.example % EXAMPLES.length]!;
    const usual = this.categories.find(({ key }) => key === this.category);
    const chosen = this.channels ?? new Set<string>(usual?.defaultChannels);
    return html`
      <form class="card" aria-labelledby="desk" @submit=${this.submit} @input=${this.forget}>
        <div class="row spread">
          <h2 id="desk">Sender's desk</h2>
          <button type="button" class="plain" @click=${this.another}>Another example</button>
        </div>
        <label class="field">
          <span class="name">Title</span>
          <input name="title" required maxlength="256" autocomplete="off" .value=${example.title} />
        </label>
        <label class="field">
          <span class="name">Text</span>
          <textarea name="body" rows="2" maxlength="4000" .value=${example.body}></textarea>
        </label>
        <label class="field">
          <span class="name">Where it leads</span>
          <input name="url" autocomplete="off" placeholder="/app/path, or https://" .value=${example.url} />
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
              <option value="">${usual ? `${statusName(usual.priority)}, as usual` : "As usual"}</option>
              ${PRIORITIES.map((priority) => html`<option value=${priority}>${statusName(priority)}</option>`)}
            </select>
          </label>
        </div>
        <fieldset>
          <legend class="name">People</legend>
          <div class="choices">
            ${PEOPLE.map((person) => this.choice(person, person, this.people.has(person), () => this.pickPerson(person)))}
          </div>
        </fieldset>
        <fieldset>
          <legend class="name">Channels</legend>
          <div class="choices">
            ${this.offered.map((channel) =>
              this.choice(channel, channelName(channel), chosen.has(channel), () => this.pickChannel(channel, chosen)),
            )}
          </div>
          <div class="hint small quiet">
            ${this.channels
              ? html`Your own choice<button type="button" class="plain" @click=${this.usualChannels}>
                    Back to the category's
                  </button>`
              : "As the category says"}
          </div>
        </fieldset>
        ${this.fault ? html`<p class="fault small" role="alert">${this.fault}</p>` : nothing}
        <div class="actions">
          <button type="button" ?disabled=${this.busy || !this.hub} @click=${this.simulate}>Simulate</button>
          <button class="main" ?disabled=${this.busy || !this.hub}>Send</button>
        </div>
        <p class="said small quiet" role="status">${this.said}</p>
        ${this.simulations
          ? html`<demo-simulation .simulations=${this.simulations}></demo-simulation>`
          : nothing}
      </form>
    `;
  }

  private get offered(): Channel[] {
    return [...new Set([...SENT, ...this.categories.flatMap(({ defaultChannels }) => defaultChannels)])];
  }

  private choice(value: string, name: string, checked: boolean, pick: () => void) {
    return html`<label class="choice">
      <input type="checkbox" value=${value} .checked=${checked} @change=${pick} />${name}
    </label>`;
  }

  private another(): void {
    this.example++;
    this.category = EXAMPLES[this.example % EXAMPLES.length]!.category;
    this.channels = undefined;
    this.forget();
  }

  /** What was simulated is no longer what would be sent. */
  private forget(): void {
    this.simulations = undefined;
    this.fault = this.said = "";
  }

  private pickCategory(event: Event): void {
    this.category = (event.target as HTMLSelectElement).value;
  }

  private pickPerson(person: string): void {
    this.people = toggled(this.people, person);
  }

  private pickChannel(channel: Channel, chosen: ReadonlySet<string>): void {
    this.channels = toggled(chosen as ReadonlySet<Channel>, channel);
  }

  private usualChannels(): void {
    this.channels = undefined;
    this.forget();
  }

  /** What the form says; undefined where something is missing, which is then said. */
  private input(): SendInput | undefined {
    const form = this.renderRoot.querySelector("form")!;
    if (!form.reportValidity()) return undefined;
    const given = new FormData(form);
    const text = (name: string) => String(given.get(name) ?? "").trim();
    if (!this.people.size || this.channels?.size === 0) {
      this.fault = this.people.size ? "Choose at least one channel." : "Choose at least one person.";
      return undefined;
    }
    return {
      to: { users: [...this.people] },
      category: this.category,
      content: { title: text("title"), body: text("body"), actionUrl: text("url") || null },
      priority: (text("priority") || null) as SendInput["priority"],
      channels: this.channels ? CHANNEL_ORDER.filter((channel) => this.channels!.has(channel as Channel)) as Channel[] : null,
      idempotencyKey: crypto.randomUUID(), // the connection may ask twice
    };
  }

  private async simulate(): Promise<void> {
    this.forget();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      this.simulations = [...(await this.hub!.query(Simulate, { input })).simulate];
      this.said = "Nothing was sent. This would become of it:";
    });
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.forget();
    const input = this.input();
    if (!input) return;
    await this.attempt(async () => {
      const { id } = (await this.hub!.mutate(Send, { input })).send.send;
      this.said = `Sent to ${[...this.people].join(" and ")}.`;
      this.dispatchEvent(new CustomEvent("sent", { detail: id }));
    });
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await work();
    } catch (error) {
      this.fault = (error as Error).message;
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

customElements.define("demo-desk", DemoDesk);
