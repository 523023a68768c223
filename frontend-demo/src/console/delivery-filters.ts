/** The filter controls of the list of deliveries. A change opens the address with the new filter. */
import { html, nothing } from "lit";
import { ConsoleElement } from "./element";
import { FILTER_KEYS, filtered, isByFailure, isFiltered, listOf, RANGES } from "./delivery-filter";
import { request } from "./client";
import { FilterValues, type FilterValues as Values } from "./operations";
import { CHANNEL_KEYS, channelName, DELIVERY_STATUSES, REASON_KEYS, statusName } from "./labels";
import { address, navigate } from "./router";

type Option = readonly [value: string, label: string];

const CHANNEL_OPTIONS = CHANNEL_KEYS.filter((key) => key !== "IN_APP").map((key): Option => [key, channelName(key)]);
const STATUS_OPTIONS = Object.keys(DELIVERY_STATUSES).map((key): Option => [key, statusName(key)]);
const REASON_OPTIONS = REASON_KEYS.map((key): Option => [key, key]);
const CUSTOM = "custom";
const FAILED = "failed"; // the value of `time`

class DeliveryFilters extends ConsoleElement {
  static override properties = { params: { attribute: false }, values: { state: true }, custom: { state: true }, open: { state: true } };

  declare params: URLSearchParams;
  declare private values: Values | undefined;
  declare private custom: boolean;
  /** True if a narrow window shows the controls. */
  declare private open: boolean;

  override willUpdate(changed: Map<string, unknown>): void {
    if (!changed.has("params")) return;
    if (this.params.get("since") || this.params.get("until")) this.custom = true;
    else if (this.params.get("range")) this.custom = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    request(FilterValues).then(
      (values) => (this.values = values),
      () => {}, // the controls then have only the values in the address
    );
    document.addEventListener("click", this.closeMenus);
    document.addEventListener("keydown", this.closeMenus);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("click", this.closeMenus);
    document.removeEventListener("keydown", this.closeMenus);
  }

  override render() {
    const providers = new Set([...(this.values?.providers.map(({ provider }) => provider) ?? []), ...listOf(this.params, "provider")]);
    const providerOptions = [...providers].sort().map((name): Option => [name, name]);
    const chosen = FILTER_KEYS.filter((key) => key !== "time" && this.params.get(key)).length;
    return html`<button class="filters-toggle" type="button" aria-expanded=${this.open ? "true" : "false"} @click=${() => (this.open = !this.open)}>
        Filter${chosen ? ` (${chosen})` : ""}
      </button>
      <form class="filters ${this.open ? "" : "collapsed"}" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
      ${this.menu("status", "Status", STATUS_OPTIONS)} ${this.menu("channel", "Channel", CHANNEL_OPTIONS)}
      ${this.menu("reason", "Reason", REASON_OPTIONS)}
      ${providerOptions.length ? this.menu("provider", "Provider", providerOptions) : nothing}
      ${this.categoryField()} ${this.textField("user", "User id")} ${this.textField("send", "Send id")}
      ${this.textField("error", "Error")} ${this.rangeField()}
      ${isFiltered(this.params) ? html`<a class="button plain" href=${address("deliveries")}>Clear</a>` : nothing}
    </form>`;
  }

  private menu(key: string, label: string, options: readonly Option[]) {
    const chosen = listOf(this.params, key);
    const names = chosen.map((value) => options.find((option) => option[0] === value)?.[1] ?? value);
    const summary = names.length > 1 ? `${names[0]} +${names.length - 1}` : names[0];
    return html`<details class="menu">
      <summary class=${chosen.length ? "chosen" : ""}>${label}${summary ? html`<b>${summary}</b>` : nothing}</summary>
      <fieldset>
        <legend class="hidden">${label}</legend>
        ${options.map(
          ([value, name]) => html`<label>
            <input type="checkbox" .checked=${chosen.includes(value)} @change=${() => this.toggle(key, value, chosen)} />
            ${name}
          </label>`,
        )}
      </fieldset>
    </details>`;
  }

  private categoryField() {
    const current = this.params.get("category") ?? "";
    const known = this.values?.categories ?? [];
    const options = known.some(({ key }) => key === current) || !current ? known : [...known, { key: current, name: current }];
    return html`<label class="field ${current ? "chosen" : ""}"
      ><span class="hidden">Category</span>
      <select @change=${(event: Event) => this.set({ category: (event.target as HTMLSelectElement).value })}>
        <option value="">Any category</option>
        ${options.map(({ key, name }) => html`<option value=${key} ?selected=${key === current}>${name}</option>`)}
      </select></label
    >`;
  }

  private textField(key: string, label: string) {
    const value = this.params.get(key) ?? "";
    return html`<label class="field ${value ? "chosen" : ""}"
      ><span class="hidden">${label}</span>
      <input
        type="text"
        placeholder=${label}
        autocomplete="off"
        spellcheck="false"
        .value=${value}
        @change=${(event: Event) => this.set({ [key]: (event.target as HTMLInputElement).value.trim() })}
    /></label>`;
  }

  private rangeField() {
    const failed = isByFailure(this.params);
    const current = this.custom ? CUSTOM : (this.params.get("range") ?? "");
    const option = (value: string, label: string, byFailure: boolean) =>
      html`<option value=${byFailure ? `${FAILED} ${value}` : value} ?selected=${value === current && byFailure === failed}>${byFailure ? `Failed: ${label.toLowerCase()}` : label}</option>`;
    return html`<label class="field ${current ? "chosen" : ""}"
        ><span class="hidden">Time</span>
        <select @change=${this.onRange}>
          <option value="">Any time</option>
          ${[false, true].map((byFailure) => [
            ...Object.entries(RANGES).map(([value, [label]]) => option(value, label, byFailure)),
            option(CUSTOM, "From … to …", byFailure),
          ])}
        </select></label
      >
      ${this.custom ? [this.timeField("since", "From"), this.timeField("until", "To")] : nothing}`;
  }

  private timeField(key: string, label: string) {
    return html`<label class="field time">
      ${label}
      <input type="datetime-local" .value=${toLocal(this.params.get(key))} @change=${(event: Event) => {
        const { value } = event.target as HTMLInputElement;
        this.set({ [key]: value ? new Date(value).toISOString() : null, range: null });
      }} />
    </label>`;
  }

  private readonly onRange = (event: Event): void => {
    const chosen = (event.target as HTMLSelectElement).value;
    const value = chosen.replace(`${FAILED} `, "");
    const time = chosen === value ? null : FAILED;
    this.custom = value === CUSTOM;
    this.set(this.custom ? { time } : { range: value, since: null, until: null, time });
  };

  private toggle(key: string, value: string, chosen: readonly string[]): void {
    const others = chosen.filter((other) => other !== value);
    this.set({ [key]: (others.length < chosen.length ? others : [...chosen, value]).join(",") });
  }

  private set(changes: Record<string, string | null>): void {
    navigate(filtered(this.params, changes));
  }

  /** Close open menus on Escape and on a click elsewhere. */
  private readonly closeMenus = (event: Event): void => {
    if (event instanceof KeyboardEvent && event.key !== "Escape") return;
    for (const menu of this.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
      if (event instanceof KeyboardEvent) menu.querySelector("summary")?.focus();
      else if (menu.contains(event.target as Node)) continue;
      menu.open = false;
    }
  };
}

/** Return an instant as the value of a `datetime-local` field. */
function toLocal(at: string | null): string {
  const date = new Date(at ?? "");
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

customElements.define("delivery-filters", DeliveryFilters);
