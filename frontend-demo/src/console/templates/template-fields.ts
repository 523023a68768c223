/** The fields of the texts of a template. Fields that the channel does not use are left out. */
import { html, nothing } from "lit";
import type { Form } from "../form";
import type { ButtonDraft, Draft } from "./draft";

const BUTTONS_MAX = 10;

export function textFields(form: Form<Draft>) {
  const { channel } = form.values;
  const forEmail = channel === "" || channel === "EMAIL";
  const hasTitle = channel !== "SMS" && channel !== "WHATSAPP";
  return html`${hasTitle ? form.text("title", "Title") : nothing}
    ${forEmail ? form.text("subject", "Subject", { hint: "Of emails. Without it, the title." }) : nothing}
    ${form.text("body", "Text", { rows: 6, hint: "Liquid: {{ data.name }} prints a value." })}
    ${form.check("markdown", "The text is Markdown")}
    ${forEmail ? form.text("preheader", "Preheader", { hint: "The line next to the subject." }) : nothing}
    ${forEmail
      ? form.text("html", "HTML or MJML of the email", { rows: 8, code: true, hint: "Without it, the layout shows the title, text, and buttons." })
      : nothing}
    <div class="field-row">${form.text("actionUrl", "Link")} ${form.text("imageUrl", "Image")}</div>
    ${buttons(form)}
    ${channel === "" || channel === "WHATSAPP"
      ? html`<details class="form-field" ?open=${form.values.whatsappContentSid !== ""}>
          <summary>WhatsApp template</summary>
          ${form.text("whatsappContentSid", "Content id at Twilio", { placeholder: "HX…" })}
          ${form.text("whatsappVariables", "Placeholders", { rows: 3, code: true, hint: "The text of {{1}}, {{2}}, and so on, one per line." })}
        </details>`
      : nothing}
    ${form.text("sample", "Sample data", { rows: 6, code: true, hint: "JSON. The preview uses it, and saving checks the texts with it." })}
    ${form.text("note", "Note", { hint: "The reason for the change. It is shown in the list of versions." })}`;
}

function buttons(form: Form<Draft>) {
  const { actions } = form.values;
  const error = form.errorOf("actions");
  return html`<fieldset class="form-field">
    <legend>Buttons</legend>
    ${actions.map((action, index) => button(form, action, index))}
    ${error ? html`<span class="field-error" role="alert">${error}</span>` : nothing}
    ${actions.length < BUTTONS_MAX
      ? html`<button class="plain" type="button"
          @click=${() => form.set({ actions: [...actions, { key: `button-${actions.length + 1}`, label: "", url: "", primary: !actions.length }] })}>
          Add a button</button>`
      : nothing}
  </fieldset>`;
}

function button(form: Form<Draft>, action: ButtonDraft, index: number) {
  const replace = (changes: Partial<ButtonDraft>) =>
    form.set({ actions: form.values.actions.map((one, at) => (at === index ? { ...one, ...changes } : one)) });
  const input = (label: string, value: string, change: (text: string) => Partial<ButtonDraft>) =>
    html`<label><span class="small quiet">${label}</span
      ><input type="text" autocomplete="off" .value=${value}
        @input=${(event: Event) => replace(change((event.target as HTMLInputElement).value))} /></label>`;
  return html`<div class="button-row" role="group" aria-label="Button ${index + 1}">
    ${input("Label", action.label, (label) => ({ label }))} ${input("Link", action.url, (url) => ({ url }))}
    ${input("Key", action.key, (key) => ({ key }))}
    <label class="check"><input type="checkbox" .checked=${action.primary}
      @change=${(event: Event) => replace({ primary: (event.target as HTMLInputElement).checked })} /><span>Emphasized</span></label>
    <button class="plain" type="button" aria-label="Remove button ${index + 1}"
      @click=${() => form.set({ actions: form.values.actions.filter((_, at) => at !== index) })}>Remove</button>
  </div>`;
}
