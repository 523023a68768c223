/** When push messages, SMS, and chats may interrupt the user: do-not-disturb, quiet hours, and the daily limit. */
import { html, nothing, type TemplateResult } from "lit";
import { live } from "lit/directives/live.js";
import type { PreferencesI18n } from "../locales/preferences";
import { bell, bellOff } from "./icons";
import type { QuietWindow } from "../../../client/src/preferences/operations";
import { WINDOWS_MAX } from "./quiet-dialog";
import type { Section, SectionProps } from "./types";
import { browserZone, zoneName } from "./zones";

const LIMITS = [0, 1, 2, 3, 5, 10, 20, 50];

export const quiet: Section = (props) => {
  const { matrix, t } = props;
  return html`<section aria-labelledby="quiet">
    <h2 id="quiet" tabindex="-1">${t("quiet")}</h2>
    <p class="muted-text lead">${t("quietHint")}</p>
    <ul>
      ${doNotDisturb(props)} ${matrix.quietSchedule.map((_, index) => quietWindow(props, index))} ${addWindow(props)}
      ${dailyLimit(props)}
    </ul>
  </section>`;
};

function doNotDisturb({ matrix, t, i18n, now, store, openDialog }: SectionProps): TemplateResult {
  const until = matrix.doNotDisturbUntil;
  return html`<li class="row">
    <div class="grow">
      <strong>${t("disturb")}</strong>
      <p class="muted-text">${until ? t("disturbUntil", { time: i18n.when(until, now) }) : t("disturbHint")}</p>
    </div>
    <button
      class="button"
      aria-label=${t(until ? "disturbOffTitle" : "disturbTitle")}
      aria-haspopup=${until ? nothing : "dialog"}
      @click=${() => (until ? store.setDoNotDisturb(null) : openDialog({ kind: "disturb" }))}
    >
      ${until ? bell : bellOff} ${t(until ? "end" : "start")}
    </button>
  </li>`;
}

function quietWindow({ matrix, t, i18n, store, openDialog, focusHeading }: SectionProps, index: number): TemplateResult {
  const window = matrix.quietSchedule[index]!;
  const allDay = window.start === "00:00" && window.end === "00:00";
  const hours = allDay ? t("allDay") : t("quietRange", { start: i18n.clock(window.start), end: i18n.clock(window.end) });
  const named = { name: `${hours}, ${daysLabel(i18n, window.days)}` };
  const notes = [
    window.timezone === browserZone() ? "" : zoneName(window.timezone),
    window.allow === "CRITICAL" ? "" : t("lets", { what: i18n.label(`ALLOW_${window.allow}`) }),
  ].filter(Boolean);
  return html`<li class="row">
    <div class="grow">
      <strong>${hours}</strong>
      <p class="muted-text">${[daysLabel(i18n, window.days), ...notes].join(" · ")}</p>
    </div>
    <div class="actions">
      <button
        class="button"
        aria-label=${t("changeEntry", named)}
        aria-haspopup="dialog"
        @click=${() => openDialog({ kind: "quiet", index })}
      >
        ${t("edit")}
      </button>
      <button
        class="button"
        aria-label=${t("removeEntry", named)}
        @click=${() => {
          void store.setQuietSchedule(matrix.quietSchedule.filter((_, other) => other !== index));
          focusHeading("quiet");
        }}
      >
        ${t("remove")}
      </button>
    </div>
  </li>`;
}

function addWindow({ matrix, t, openDialog }: SectionProps): TemplateResult | typeof nothing {
  const { length } = matrix.quietSchedule;
  if (length >= WINDOWS_MAX) return nothing;
  return html`<li class="row">
    <div class="grow">
      ${length ? nothing : html`<strong>${t("quietHours")}</strong>`}
      <p class="muted-text">${t(length ? "quietMore" : "quietNone")}</p>
    </div>
    <button class="button" aria-haspopup="dialog" @click=${() => openDialog({ kind: "quiet", index: length })}>
      ${t("quietAdd")}
    </button>
  </li>`;
}

function dailyLimit({ matrix, t, i18n, store }: SectionProps): TemplateResult {
  const current = matrix.dailyLimit;
  const limits = current === null || LIMITS.includes(current) ? LIMITS : [...LIMITS, current].sort((a, b) => a - b);
  return html`<li class="row">
    <div class="grow">
      <strong id="limit">${t("limit")}</strong>
      <p class="muted-text" id="limit-hint">${t("limitHint")}</p>
    </div>
    <select
      aria-labelledby="limit"
      aria-describedby="limit-hint"
      @change=${({ target }: Event) => {
        const { value } = target as HTMLSelectElement;
        void store.setDailyLimit(value ? Number(value) : null);
      }}
    >
      <option value="" .selected=${live(current === null)}>${t("limitNone")}</option>
      ${limits.map(
        (limit) => html`<option value=${limit} .selected=${live(limit === current)}>${limit ? i18n.number(limit) : t("limitZero")}</option>`,
      )}
    </select>
  </li>`;
}

/** Return the text of some weekdays. */
export function daysLabel(i18n: PreferencesI18n, days: QuietWindow["days"]): string {
  const key = days.join("");
  if (key === "1234567") return i18n.t("everyDay");
  if (key === "12345") return i18n.t("weekdays");
  if (key === "67") return i18n.t("weekend");
  return i18n.list(days.map((day) => i18n.weekday(day)));
}
