/** The fields of a rule. */
import { html, nothing } from "lit";
import type { Form } from "../form";
import { CHANNEL_KEYS, channelName } from "../labels";
import type { RuleNames } from "./operations";
import type { RuleValues } from "./rule-values";

const EXPRESSION = "A JMESPath expression over the event.";
const RECIPIENT_HINTS = {
  users: html`${EXPRESSION} It finds the id of a user or an array of ids, such as <code>data.customer.id</code>.`,
  topic: html`${EXPRESSION} A constant key has single quotes: <code>'releases'</code>.`,
  everyone: "",
  where: html`JSON, such as <code>{"attributes.plan": "pro"}</code>.`,
};

export function ruleFields(form: Form<RuleValues>, names: RuleNames | undefined, isNew: boolean) {
  const { values } = form;
  const code = { code: true };
  return html`<datalist id="categories">${names?.categories.map(({ key, name }) => html`<option value=${key}>${name}</option>`)}</datalist>
    <datalist id="templates">${[...new Set(names?.templates.map(({ key }) => key))].map((key) => html`<option value=${key}></option>`)}</datalist>
    <div class="field-row">${form.text("key", "Key", { required: true, disabled: !isNew })} ${form.text("name", "Name")}</div>
    ${form.check("enabled", "Enabled", "Otherwise, no event starts the rule.")}
    <h2>When</h2>
    <div class="field-row">
      ${form.text("type", "Event type", { required: true, placeholder: "com.example.order.shipped", hint: "Or a prefix that ends in .*" })}
      ${form.text("source", "Source", { hint: "Without it, every source." })}
    </div>
    ${form.text("condition", "Condition", { ...code, placeholder: "data.total > `100`", hint: `${EXPRESSION} Without it, every event matches.` })}
    <h2>To whom</h2>
    <div class="field-row">
      ${form.select("recipients", "Recipients", [["users", "users of the event"], ["topic", "a topic"], ["everyone", "everyone"], ["where", "a filter"]])}
      ${values.recipients === "everyone" ? nothing : form.text("to", "Which", { ...code, required: true, hint: RECIPIENT_HINTS[values.recipients] })}
    </div>
    ${form.text("except", "Except", { ...code, hint: "An expression that finds users who do not get the send, such as the author of a comment." })}
    <h2>What</h2>
    <div class="field-row">
      ${form.text("category", "Category", { required: true, list: "categories" })}
      ${form.select("texts", "Texts", [["content", "written here"], ["template", "from a template"]])}
    </div>
    ${values.texts === "template" ? form.text("template", "Template", { required: true, list: "templates" }) : contentFields(form)}
    ${form.text("data", "Data of the texts", { ...code, placeholder: "{order: data.id}", hint: "An expression that makes an object. Without it, the event's own data." })}
    <details class="form-field" ?open=${hasMore(values)}>
      <summary>Delivery</summary>
      <div class="form">
        ${form.checks("channels", "Channels", CHANNEL_KEYS.map((key) => [key, channelName(key)] as const), "Without a channel, those of the category.")}
        <div class="field-row">
          ${form.select("priority", "Priority", [["", "of the category"], ...["CRITICAL", "HIGH", "MEDIUM", "LOW"].map((key) => [key, key.toLowerCase()] as const)])}
          ${form.text("after", "After", { placeholder: "PT1H" })} ${form.text("expiresIn", "Expires in", { placeholder: "P7D" })}
        </div>
        <div class="field-row">${form.text("collapseKey", "Collapse key")} ${form.text("tags", "Tags", { hint: "Separated by commas." })}</div>
        ${form.check("requireAck", "Request an acknowledgment")}
        ${form.text("steps", "Steps", { ...code, rows: 2, hint: "JSON, as in the API." })}
        ${form.text("digest", "Digest", { ...code, rows: 2, hint: "JSON with key and window, as in the API." })}
      </div>
    </details>`;
}

function contentFields(form: Form<RuleValues>) {
  return html`${form.text("content.title", "Title", { required: true })}
    ${form.text("content.body", "Text", { rows: 4, hint: "Liquid: {{ data.name }} prints a value." })}
    ${form.check("content.markdown", "The text is Markdown")}
    <div class="field-row">${form.text("content.actionUrl", "Link")} ${form.text("content.imageUrl", "Image")}</div>
    ${form.values["content.actions"] ? form.text("content.actions", "Buttons", { code: true, rows: 4, hint: "JSON, as in the API." }) : nothing}`;
}

const hasMore = (values: RuleValues): boolean =>
  values.channels.length > 0 || values.requireAck ||
  [values.priority, values.after, values.expiresIn, values.collapseKey, values.tags, values.steps, values.digest].some(Boolean);
