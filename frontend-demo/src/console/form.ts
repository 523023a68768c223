/** Forms: values, labeled fields, and the error of the last request at the field that it names. */
import { html, nothing, type ReactiveControllerHost } from "lit";
import { HubError } from "../../packages/client/src/errors";
import { toError } from "./element";

interface FieldOptions {
  readonly hint?: unknown;
  readonly placeholder?: string;
  readonly required?: boolean;
  /** True for expressions and templates, which are shown in a monospaced font. */
  readonly code?: boolean;
  /** The number of lines. Makes the field a text area. */
  readonly rows?: number;
  readonly disabled?: boolean;
  /** The id of a `<datalist>` with suggestions. */
  readonly list?: string;
  readonly type?: "text" | "datetime-local";
}

type Choice = readonly [value: string, name: string];

/** The values of a form. Field names are those of the input in the API. */
export class Form<Values extends object> {
  values: Values;
  failure: HubError | undefined;
  busy = false;
  /** True if the role of the token may not save: then no field can be changed. */
  readOnly = false;
  /** Called when a person changes a value. Then `fail` must be called with the result of a check. */
  onChange: (() => void) | undefined;
  readonly #host: ReactiveControllerHost;
  /** The fields that were drawn since the last call of `rest`. */
  readonly #drawn = new Set<string>();

  constructor(host: ReactiveControllerHost, values: Values) {
    this.#host = host;
    this.values = values;
  }

  reset(values: Values): void {
    this.values = values;
    this.failure = undefined;
    this.#host.requestUpdate();
  }

  set(changes: Partial<Values>): void {
    this.values = { ...this.values, ...changes };
    if (this.onChange) this.onChange(); // checks the values again, and sets or clears the failure
    else this.failure = undefined;
    this.#host.requestUpdate();
  }

  fail(failure: HubError | undefined): void {
    this.failure = failure;
    this.#host.requestUpdate();
  }

  /** Run a request. Return its result, or undefined if it failed. */
  async submit<Result>(action: () => Promise<Result>): Promise<Result | undefined> {
    if (this.busy) return undefined;
    this.busy = true;
    this.fail(undefined);
    try {
      return await action();
    } catch (error) {
      this.fail(toError(error));
      await this.#host.updateComplete;
      document.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
      return undefined;
    } finally {
      this.busy = false;
      this.#host.requestUpdate();
    }
  }

  /** Return the error of a field, or "". The error of `input.to.where.age` belongs to the field `to.where` or `to`. */
  errorOf(name: string): string {
    const [, ...path] = this.failure?.field?.split(/[.[]/) ?? [];
    const matches = this.failure && `${path.join(".")}.`.startsWith(`${name}.`);
    if (matches) this.#drawn.add(name);
    return matches ? (this.failure?.message ?? "") : "";
  }

  /** Return the error that no drawn field showed. Call it after the fields. */
  rest() {
    const shown = this.#drawn.size > 0;
    this.#drawn.clear();
    return this.failure && !shown ? html`<p class="notice bad" role="alert">${this.failure.message}</p>` : nothing;
  }

  text(name: keyof Values & string, label: string, options: FieldOptions = {}) {
    const error = this.errorOf(name);
    const value = String(this.values[name] ?? "");
    const onInput = (event: Event) => this.set({ [name]: (event.target as HTMLInputElement).value } as Partial<Values>);
    const id = `field-${name}`;
    const describedBy = [options.hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ") || nothing;
    const control = options.rows
      ? html`<textarea
          id=${id}
          class=${options.code ? "code" : ""}
          rows=${options.rows}
          spellcheck=${options.code ? "false" : "true"}
          placeholder=${options.placeholder ?? nothing}
          ?required=${options.required}
          ?disabled=${this.readOnly}
          aria-invalid=${error ? "true" : nothing}
          aria-describedby=${describedBy}
          .value=${value}
          @input=${onInput}
        ></textarea>`
      : html`<input
          id=${id}
          class=${options.code ? "code" : ""}
          type=${options.type ?? "text"}
          autocomplete="off"
          spellcheck=${options.code ? "false" : "true"}
          placeholder=${options.placeholder ?? nothing}
          list=${options.list ?? nothing}
          ?required=${options.required}
          ?disabled=${options.disabled || this.readOnly}
          aria-invalid=${error ? "true" : nothing}
          aria-describedby=${describedBy}
          .value=${value}
          @input=${onInput}
        />`;
    return html`<div class="form-field"><label for=${id}>${label}</label>${control}${hintOf(id, options.hint)}${errorText(id, error)}</div>`;
  }

  select(name: keyof Values & string, label: string, choices: readonly Choice[], options: FieldOptions = {}) {
    const error = this.errorOf(name);
    const id = `field-${name}`;
    const value = String(this.values[name] ?? "");
    return html`<div class="form-field"><label for=${id}>${label}</label>
      <select id=${id} ?disabled=${options.disabled || this.readOnly} aria-invalid=${error ? "true" : nothing}
        @change=${(event: Event) => this.set({ [name]: (event.target as HTMLSelectElement).value } as Partial<Values>)}>
        ${choices.map(([key, text]) => html`<option value=${key} ?selected=${key === value} .selected=${key === value}>${text}</option>`)}
      </select>${hintOf(id, options.hint)}${errorText(id, error)}</div>`;
  }

  check(name: keyof Values & string, label: string, hint?: unknown) {
    const error = this.errorOf(name);
    return html`<div class="form-field"><label class="check"
      ><input type="checkbox" .checked=${Boolean(this.values[name])} ?disabled=${this.readOnly}
        @change=${(event: Event) => this.set({ [name]: (event.target as HTMLInputElement).checked } as Partial<Values>)} />
      <span>${label}${hint ? html`<span class="quiet small"> ${hint}</span>` : nothing}</span></label>${errorText(`field-${name}`, error)}</div>`;
  }

  /** A group of check boxes. The value is the array of the chosen keys. */
  checks(name: keyof Values & string, label: string, choices: readonly Choice[], hint?: unknown) {
    const chosen = this.values[name] as readonly string[];
    const error = this.errorOf(name);
    const toggle = (key: string, on: boolean) =>
      this.set({ [name]: choices.map(([one]) => one).filter((one) => (one === key ? on : chosen.includes(one))) } as Partial<Values>);
    return html`<fieldset class="form-field">
      <legend>${label}</legend>
      <div class="check-list">
        ${choices.map(
          ([key, text]) => html`<label class="check"
            ><input type="checkbox" .checked=${chosen.includes(key)} ?disabled=${this.readOnly}
              @change=${(event: Event) => toggle(key, (event.target as HTMLInputElement).checked)} />
            <span>${text}</span></label
          >`,
        )}
      </div>
      ${hintOf(`field-${name}`, hint)}${errorText(`field-${name}`, error)}
    </fieldset>`;
  }
}

const hintOf = (id: string, hint: unknown) => (hint ? html`<span id="${id}-hint" class="quiet small">${hint}</span>` : nothing);

const errorText = (id: string, error: string) =>
  error ? html`<span id="${id}-error" class="field-error" role="alert">${error}</span>` : nothing;

/** Return the value of a JSON text, or undefined if it is blank. Throw an error that names the field. */
export function parseJson(text: string, field: string): unknown {
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HubError(`This is not valid JSON: ${(error as Error).message}`, "BAD_USER_INPUT", `input.${field}`);
  }
}

/** Return a new idempotency key. `crypto.randomUUID` does not exist on pages without TLS. */
export const newKey = (): string =>
  `console-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

/** Return the text of a field, or null if it is blank. */
export const orNull = (text: string): string | null => text.trim() || null;

/** Return the lines of a text that are not blank. */
export const linesOf = (text: string): string[] => partsOf(text, "\n");

/** Return the comma-separated parts of a text that are not blank. */
export const listOf = (text: string): string[] => partsOf(text, ",");

const partsOf = (text: string, separator: string): string[] => text.split(separator).map((one) => one.trim()).filter(Boolean);
