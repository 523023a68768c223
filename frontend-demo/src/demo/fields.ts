/** Labeled controls of the send form. Below each are its hint and the error that the hub returned for it. */
import { html, nothing, type TemplateResult } from "lit";
import { live } from "lit/directives/live.js";
import type { Fields } from "./send-values";

export interface FieldProps {
  fields: Fields;
  /** The errors by field. */
  errors: Readonly<Record<string, string>>;
}

type TextName = { [Name in keyof Fields]: Fields[Name] extends string ? Name : never }[keyof Fields];
type CheckName = Exclude<keyof Fields, TextName>;

interface InputOptions {
  hint?: string;
  type?: "text" | "number" | "datetime-local";
  placeholder?: string;
  required?: boolean;
  min?: number;
  max?: number;
}

export function textField(props: FieldProps, name: TextName, label: string, options: InputOptions = {}): TemplateResult {
  const { hint, type = "text", placeholder, required = false, min, max } = options;
  const control = html`<input
    id=${name}
    name=${name}
    type=${type}
    autocomplete="off"
    maxlength="256"
    placeholder=${placeholder ?? nothing}
    min=${min ?? nothing}
    max=${max ?? nothing}
    ?required=${required}
    aria-invalid=${name in props.errors ? "true" : nothing}
    aria-describedby=${describedBy(props, name, hint)}
    .value=${live(props.fields[name])}
  />`;
  return field(props, name, label, control, hint);
}

interface AreaOptions {
  rows: number;
  /** True for JSON. */
  code?: boolean;
  hint?: string;
}

export function textArea(props: FieldProps, name: TextName, label: string, { rows, code = false, hint }: AreaOptions): TemplateResult {
  const control = html`<textarea
    id=${name}
    name=${name}
    class=${code ? "code" : ""}
    rows=${rows}
    maxlength=${code ? nothing : 4000}
    spellcheck=${code ? "false" : nothing}
    aria-invalid=${name in props.errors ? "true" : nothing}
    aria-describedby=${describedBy(props, name, hint)}
    .value=${live(props.fields[name])}
  ></textarea>`;
  return field(props, name, label, control, hint);
}

/** `options` maps values to labels. */
export function selectField(
  props: FieldProps,
  name: TextName,
  label: string,
  options: Readonly<Record<string, string>>,
  hint?: string,
): TemplateResult {
  const control = html`<select
    id=${name}
    name=${name}
    aria-invalid=${name in props.errors ? "true" : nothing}
    aria-describedby=${describedBy(props, name, hint)}
  >
    ${Object.entries(options).map(
      ([value, text]) => html`<option value=${value} .selected=${live(value === props.fields[name])}>${text}</option>`,
    )}
  </select>`;
  return field(props, name, label, control, hint);
}

export function checkbox({ fields }: FieldProps, name: CheckName, label: string): TemplateResult {
  return html`<label class="check">
    <input type="checkbox" name=${name} .checked=${live(fields[name])} />${label}
  </label>`;
}

/** The error of a field or of a group of fields. */
export function problem({ errors }: FieldProps, name: string): TemplateResult | typeof nothing {
  return name in errors ? html`<p id="${name}-error" class="problem small" role="alert">${errors[name]}</p>` : nothing;
}

function field(props: FieldProps, name: string, label: string, control: TemplateResult, hint?: string): TemplateResult {
  return html`<div class="field">
    <label class="name" for=${name}>${label}</label>
    ${control} ${hint ? html`<span id="${name}-hint" class="small quiet">${hint}</span>` : nothing} ${problem(props, name)}
  </div>`;
}

function describedBy({ errors }: FieldProps, name: string, hint?: string): string | typeof nothing {
  return [hint && `${name}-hint`, name in errors && `${name}-error`].filter(Boolean).join(" ") || nothing;
}
