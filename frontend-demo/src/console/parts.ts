/** Small parts that several pages show. */
import { html, nothing } from "lit";
import { count } from "./format";
import type { FailureGroup, SendRow } from "./operations";
import { address } from "./router";
import { channelName, sendStatusName, statusName, toneOf } from "./labels";

/** Return the badge of a delivery status. */
export const statusBadge = (status: string) => html`<span class="badge ${toneOf(status)}">${statusName(status)}</span>`;

/** Return the badge of a send status. */
export function sendBadge(status: string) {
  const tone = status === "ACCEPTED" ? "good" : toneOf(status);
  return html`<span class="badge ${tone}">${sendStatusName(status)}</span>`;
}

/** Return the progress of a send that is being expanded, paused, canceled, or recalled. */
export function progressOf({ status, recipients, total, remaining }: SendRow) {
  if (status === "EXPANDING" && total)
    return html`<progress max=${total} value=${recipients} aria-label="Recipients so far"></progress>
      <span class="quiet small">${count(recipients)} of about ${count(total)}</span>`;
  return remaining ? html`<span class="quiet small">${count(remaining)} changes left</span>` : nothing;
}

/** Return a chip with the name of a channel and its status. */
export const channelChip = (channel: string, status: string, explanation: string) =>
  html`<span class="chip ${toneOf(status)}" title=${explanation}
    >${channelName(channel)} <span class="chip-status">${statusName(status)}</span></span
  >`;

/** Return the sentence that says why a person was among the recipients. */
export function sentTo(kind: string, of: string | null): string {
  if (kind === "TOPIC") return `Sent to the topic ${of}`;
  if (kind === "EVERYONE") return "Sent to everyone";
  if (kind === "FILTER") return "Sent to everyone who matches a filter";
  return kind === "RULE" ? `Sent by the rule ${of}` : "The sender named this person";
}

/** Return what failed: the channel, the provider, the sentence of the reason, and the error. */
export const failureOf = ({ channel, provider, explanation, error }: FailureGroup) =>
  html`${channelName(channel)}${provider ? ` with ${provider}` : nothing}: ${explanation}
    ${error ? html`<span class="error-text small"><bdi>${error}</bdi></span>` : nothing}`;

/** Return a list of values. The empty value means no choice. */
export const choice = (
  label: string,
  current: string,
  options: readonly (readonly [value: string, name: string])[],
  onChange: (value: string) => void,
) =>
  html`<label class="field ${current ? "chosen" : ""}"
    ><span class="hidden">${label}</span>
    <select @change=${(event: Event) => onChange((event.target as HTMLSelectElement).value)}>
      ${options.map(([value, name]) => html`<option value=${value} ?selected=${value === current}>${name}</option>`)}
    </select></label
  >`;

/** Return the parameters of the list of a group. An id in an error, `*`, is different in each delivery. */
export const groupParams = ({ channel, provider, reason, error }: FailureGroup): Record<string, string | null> => ({
  channel, provider, reason: reason === "NONE" ? null : reason, error: error?.split("*")[0] ?? null,
});

/** Return groups of failures, with their numbers and a link for each. */
export const failureList = (groups: readonly FailureGroup[], to: (group: FailureGroup) => string) =>
  html`<ul class="results plain causes">
    ${groups.map(
      (group) => html`<li data-row>
        <span class="kind number">${count(group.count)}</span>
        <a data-main href=${to(group)}>${failureOf(group)}</a>
        <code class="quiet">${group.reason}</code>
      </li>`,
    )}
  </ul>`;

const SUPPRESSIONS: Record<string, string> = {
  bounced: "emails bounced",
  complained: "reported as spam",
  gone: "does not exist",
};

/** Return the text of the reason that an address is suppressed. */
export const suppressionReason = (reason: string): string => SUPPRESSIONS[reason] ?? reason;

export const userLink = (id: string) => html`<a href=${address("users", id)}>${id}</a>`;

/** Return a heading that receives the focus when the page opens. */
export const pageHeading = (title: unknown, aside: unknown = nothing) =>
  html`<div class="page-heading"><h1 tabindex="-1">${title}</h1>${aside}</div>`;

/** Return a list of terms and values. Entries without a value are left out. */
export const facts = (entries: readonly (readonly [term: string, value: unknown])[]) =>
  html`<dl class="facts">
    ${entries.map(([term, value]) =>
      value === null || value === undefined || value === "" || value === nothing
        ? nothing
        : html`<div><dt>${term}</dt><dd>${value}</dd></div>`,
    )}
  </dl>`;

/** Return a path as an icon. */
export const icon = (path: string) =>
  html`<svg class="icon" width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${path} /></svg>`;
