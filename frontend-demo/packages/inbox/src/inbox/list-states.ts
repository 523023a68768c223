/** What the panel shows instead of a list and at its end, and the status of the connection. */
import { html, nothing, type TemplateResult } from "lit";
import type { Status } from "../../../client/src/connection";
import type { I18n, TextKey } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";

const SKELETONS = [1, 2, 3, 4, 5];

export function emptyState(i18n: I18n<Messages>, icon: unknown, title: TextKey<Messages>, text: TextKey<Messages>): TemplateResult {
  return html`<div class="state" part="empty">
    ${icon}<strong>${i18n.t(title)}</strong><span>${i18n.t(text)}</span>
  </div>`;
}

export function skeletons(i18n: I18n<Messages>): TemplateResult {
  return html`<div aria-busy="true">
    <span class="hidden">${i18n.t("loading")}</span>
    ${SKELETONS.map(() => html`<div class="skeleton" part="skeleton"><i></i><i></i><i></i></div>`)}
  </div>`;
}

export function failedState(i18n: I18n<Messages>, tryAgain: () => void): TemplateResult {
  return html`<div class="state" part="empty">
    ${icons.alert}<strong>${i18n.t("failed")}</strong>
    <button class="pill" @click=${tryAgain}>${i18n.t("tryAgain")}</button>
  </div>`;
}

/** What follows the rows. The next page is loaded when it is near. */
export function endOfList(i18n: I18n<Messages>, state: string, hasMore: boolean, tryAgain: () => void): TemplateResult | typeof nothing {
  if (state === "failed") return html`<div class="more" part="more"><button class="pill" @click=${tryAgain}>${i18n.t("tryAgain")}</button></div>`;
  return hasMore ? html`<div class="more" part="more" data-more>${i18n.t("loading")}</div>` : nothing;
}

export function connectionStatus(i18n: I18n<Messages>, status: Status): TemplateResult | typeof nothing {
  if (status === "refused") return nothing; // shown in the list
  const key = status === "offline" && navigator.onLine ? "connecting" : status;
  const label = i18n.t(key);
  return html`<span class="status ${status}" part="status" title=${label}>
    <span class=${key === "live" ? "hidden" : ""}>${label}</span>
  </span>`;
}
