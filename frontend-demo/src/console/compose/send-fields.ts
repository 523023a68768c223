/** The fields of a send. */
import { html, nothing } from "lit";
import type { Form } from "../form";
import { CHANNEL_KEYS, channelName } from "../labels";
import type { ComposeNames } from "./operations";
import type { SendValues } from "./send-values";

export function sendFields(form: Form<SendValues>, names: ComposeNames | undefined) {
  const { values } = form;
  return html`<datalist id="categories">${names?.categories.map(({ key, name }) => html`<option value=${key}>${name}</option>`)}</datalist>
    <datalist id="templates">${[...new Set(names?.templates.map(({ key }) => key))].map((key) => html`<option value=${key}></option>`)}</datalist>
    <datalist id="topics">${names?.topics.nodes.map(({ key, name }) => html`<option value=${key}>${name}</option>`)}</datalist>
    <h2>To whom</h2>
    ${form.select("recipients", "Recipients", [["users", "users"], ["topic", "a topic"], ["everyone", "everyone"], ["where", "users who match a filter"]])}
    ${recipientField(form)}
    ${form.text("except", "Except", { rows: 1, hint: "Ids of users who do not get the send, one per line." })}
    <h2>What</h2>
    <div class="field-row">
      ${form.text("category", "Category", { required: true, list: "categories" })}
      ${form.select("texts", "Texts", [["content", "written here"], ["template", "from a template"]])}
    </div>
    ${values.texts === "content"
      ? html`${form.text("content.title", "Title", { required: true })} ${form.text("content.body", "Text", { rows: 5 })}
          ${form.check("content.markdown", "The text is Markdown")}
          <div class="field-row">${form.text("content.actionUrl", "Link")} ${form.text("content.imageUrl", "Image")}</div>`
      : html`${form.text("template.key", "Template", { required: true, list: "templates" })}
          ${form.text("template.data", "Data of the template", { rows: 4, code: true, hint: "JSON." })}`}
    <details class="form-field" ?open=${hasMore(values)}>
      <summary>Delivery</summary>
      <div class="form">
        ${form.checks("channels", "Channels", CHANNEL_KEYS.map((key) => [key, channelName(key)] as const), "Without a channel, those of the category.")}
        ${form.select("priority", "Priority", [["", "of the category"], ...["CRITICAL", "HIGH", "MEDIUM", "LOW"].map((key) => [key, key.toLowerCase()] as const)])}
        <div class="field-row">
          ${form.text("sendAt", "Send at", { type: "datetime-local", hint: "In your time zone. Without it, now." })}
          ${form.text("expiresAt", "Expires at", { type: "datetime-local" })}
        </div>
        ${form.text("collapseKey", "Collapse key", { hint: "A newer notification with the same key replaces the older one." })}
        ${form.check("requireAck", "Request an acknowledgment")}
      </div>
    </details>`;
}

function recipientField(form: Form<SendValues>) {
  switch (form.values.recipients) {
    case "everyone":
      return nothing;
    case "topic":
      return form.text("to", "Topic", { required: true, list: "topics" });
    case "where":
      return form.text("to", "Filter", { rows: 3, code: true, required: true, hint: html`JSON, such as <code>{"attributes.plan": "pro", "locale": "de"}</code>.` });
    default:
      return form.text("to", "User ids", { rows: 3, required: true, hint: "One per line. Users who do not exist are created." });
  }
}

const hasMore = (values: SendValues): boolean =>
  values.channels.length > 0 || values.requireAck || [values.priority, values.sendAt, values.expiresAt, values.collapseKey].some(Boolean);
