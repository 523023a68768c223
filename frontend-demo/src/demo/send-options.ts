/** The groups of options of the send form, each with its current value in its summary. */
import { html, nothing, type TemplateResult } from "lit";
import { checkbox, problem, selectField, textField, type FieldProps } from "./fields";
import type { Channel, Step } from "./sender-api";
import "./steps-field";

const WINDOWS = { PT1M: "1 minute", PT10M: "10 minutes", PT1H: "1 hour", P1D: "1 day", P7D: "1 week" };
const MODES = { FIXED: "Fixed", SLIDING: "Sliding" };

/** The browser cannot show an error in closed details. `invalid` does not bubble. */
const OPEN_IF_INVALID = {
  capture: true,
  handleEvent: (event: Event) => ((event.currentTarget as HTMLDetailsElement).open = true),
};

interface OptionProps extends FieldProps {
  steps: readonly Step[];
  /** The channels that steps can use. */
  channels: readonly Channel[];
  changeSteps(event: CustomEvent<readonly Step[]>): void;
}

export function sendOptions(props: OptionProps): TemplateResult {
  return html`<div class="options">${whenGroup(props)} ${stepsGroup(props)} ${digestGroup(props)} ${limitsGroup(props)}</div>`;
}

function group(name: string, value: string, unset: string, content: TemplateResult): TemplateResult {
  return html`<details class=${value ? "set" : ""} @invalid=${OPEN_IF_INVALID}>
    <summary><span>${name}</span><span class="value quiet">${value || unset}</span></summary>
    <div class="content">${content}</div>
  </details>`;
}

function whenGroup(props: OptionProps): TemplateResult {
  const { sendAt, expiresAt, pinned } = props.fields;
  const value = [sendAt && localTime(sendAt), expiresAt && `until ${localTime(expiresAt)}`, pinned && "pinned"].filter(Boolean).join(", ");
  return group(
    "Schedule, expiry, and pin",
    value,
    "Now",
    html`${textField(props, "sendAt", "Send at", { type: "datetime-local", hint: "Your local time. Empty sends now." })}
    ${textField(props, "expiresAt", "Expires at", {
      type: "datetime-local",
      hint: "The notification leaves the inboxes, and what was not sent by then is not sent.",
    })}
    ${checkbox(props, "pinned", "Pin it above the others")}`,
  );
}

function stepsGroup(props: OptionProps): TemplateResult {
  const { steps, channels, fields, changeSteps } = props;
  const count = steps.length && `${steps.length} ${steps.length === 1 ? "step" : "steps"}`;
  return group(
    "Acknowledgment and later steps",
    [fields.requireAck && "Required", count].filter(Boolean).join(", "),
    "None",
    html`${checkbox(props, "requireAck", "Ask recipients to acknowledge it")}
      <demo-steps
        .steps=${steps}
        .channels=${channels}
        .requireAck=${fields.requireAck}
        @steps=${changeSteps}
      ></demo-steps>
      ${problem(props, "steps")}`,
  );
}

function digestGroup(props: OptionProps): TemplateResult {
  const { "digest.key": key, "digest.window": window, "digest.mode": mode } = props.fields;
  const windowName = WINDOWS[window as keyof typeof WINDOWS];
  return group(
    "Digest",
    key && `${key}, ${windowName}`,
    "Off",
    html`${textField(props, "digest.key", "Digest key", { hint: "Gathers messages with the same key in one." })}
      <div class="pair">
        ${selectField(props, "digest.window", "Gather for", WINDOWS)} ${selectField(props, "digest.mode", "Window", MODES)}
        ${mode === "SLIDING"
          ? selectField(props, "digest.max", "Longest wait", { "": "1 day (default)", PT1H: "1 hour", PT12H: "12 hours", P7D: "1 week" })
          : nothing}
        ${selectField(props, "digest.lookback", "Look back", { "": "Off", ...WINDOWS })}
        ${textField(props, "digest.maxItems", "Max. items", { type: "number", min: 2, placeholder: "No limit" })}
      </div>
      <p class="small quiet">
        A sliding window begins again with each message. With a look-back, a message leaves at once if none with this key
        came before it for that long. With a maximum, the digest leaves early when it is full.
      </p>`,
  );
}

function limitsGroup(props: OptionProps): TemplateResult {
  const { collapseKey, threadKey, "throttle.key": throttle } = props.fields;
  return group(
    "Collapse, thread, and throttle",
    [collapseKey, threadKey, throttle].filter(Boolean).join(", "),
    "Off",
    html`${textField(props, "collapseKey", "Collapse key", { hint: "Replaces the older notification with the same key." })}
      ${textField(props, "threadKey", "Thread key", { hint: "Clients can show notifications with the same key together." })}
      ${textField(props, "throttle.key", "Throttle key", {
        hint: "Beyond the limit, sends with the same key stay in the inbox.",
      })}
      <div class="pair">
        ${textField(props, "throttle.limit", "Limit", { type: "number", min: 1, required: Boolean(throttle) })}
        ${selectField(props, "throttle.window", "Per", WINDOWS)}
      </div>`,
  );
}

const localTime = (local: string): string =>
  new Date(local).toLocaleString("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
