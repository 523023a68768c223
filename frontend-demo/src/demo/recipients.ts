/** The recipients in the send form: users, a topic, a filter, or everyone, and how many they are. */
import { html, nothing, type TemplateResult } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import "./audience-count";
import { problem, selectField, textArea, textField, type FieldProps } from "./fields";
import type { Topic } from "./sender-api";
import { RECIPIENT_KINDS, USERS, type RecipientKind, type SendValues } from "./send-values";

const FILTER_HINT =
  "Fields: id, name, email, phone, locale, timezone, createdAt, topics, and attributes, such as attributes.team.";

interface RecipientProps extends FieldProps {
  hub: HubConnection | undefined;
  values: SendValues;
  /** Undefined until they are loaded. */
  topics: readonly Topic[] | undefined;
  pick(recipients: RecipientKind): void;
  toggle(user: string): void;
  /** Receives the error for which the hub did not count the recipients. */
  refused(event: CustomEvent<Error>): void;
}

export function recipientFields(props: RecipientProps): TemplateResult {
  const { values, pick } = props;
  return html`<fieldset>
    <legend class="name">Recipients</legend>
    <div class="choices">
      ${Object.entries(RECIPIENT_KINDS).map(
        ([kind, name]) => html`<label class="choice">
          <input
            type="radio"
            name="recipients"
            .checked=${kind === values.recipients}
            @change=${() => pick(kind as RecipientKind)}
          />${name}
        </label>`,
      )}
    </div>
    <div class="recipients">${values.recipients === "users" ? userFields(props) : audienceFields(props)}</div>
  </fieldset>`;
}

function userFields(props: RecipientProps): TemplateResult {
  return html`<div class="choices" role="group" aria-label="Users">
      ${USERS.map(
        (user) => html`<label class="choice">
          <input
            type="checkbox"
            value=${user}
            .checked=${props.values.users.has(user)}
            @change=${() => props.toggle(user)}
          />${user}
        </label>`,
      )}
    </div>
    ${problem(props, "to")}`;
}

function audienceFields(props: RecipientProps): TemplateResult {
  const { recipients } = props.values;
  const hasTopic = recipients !== "topic" || props.topics?.length;
  return html`${recipients === "topic" ? topicField(props) : nothing}
  ${recipients === "where" ? textArea(props, "to.where", "Filter (JSON)", { rows: 3, code: true, hint: FILTER_HINT }) : nothing}
  ${hasTopic
    ? html`<demo-audience-count .hub=${props.hub} .values=${props.values} @refused=${props.refused}></demo-audience-count>
        ${textField(props, "except", "Except", { placeholder: "No one", hint: "The ids of users who do not get it, such as alice, bob." })}`
    : nothing}`;
}

function topicField(props: RecipientProps): TemplateResult {
  const { topics } = props;
  if (!topics) return html`<p class="small quiet" role="status">Loading topics…</p>`;
  if (!topics.length)
    return html`<p class="empty small quiet" role="status">
      There are no topics yet. Create one: <code>hub topics subscribe releases alice</code>
    </p>`;
  const names = topics.map(({ key, name }) => [key, name === key ? key : `${name} (${key})`]);
  return selectField(props, "to.topic", "Topic", Object.fromEntries(names));
}
