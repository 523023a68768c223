/** The dialogs to turn on do-not-disturb and to edit a window of quiet hours. */
import { html, nothing, type TemplateResult } from "lit";
import { muteChoices } from "./mutes";
import type { PreferencesI18n } from "../locales/preferences";
import type { QuietWindow } from "../../../client/src/preferences/operations";
import type { DialogState, SectionProps } from "./types";
import { browserZone, zoneName } from "./zones";

export const WINDOWS_MAX = 7;
const DAYS = [1, 2, 3, 4, 5, 6, 7];
const ALLOWED = ["CRITICAL", "HIGH", "MEDIUM"] as const;

export function doNotDisturbDialog({ t, i18n, store, now }: SectionProps, close: () => void): TemplateResult {
  return html`<h2 id="dialog-title">${t("disturbTitle")}</h2>
    <p class="muted-text">${t("disturbHint")}</p>
    <div class="choices">
      ${muteChoices(i18n, now).map(
        ([label, until]) =>
          html`<button class="button" @click=${() => (close(), store.setDoNotDisturb(until))}>${label}</button>`,
      )}
      <button class="button quiet" @click=${close}>${t("cancel")}</button>
    </div>`;
}

/** `index` is the position of the window. A new window has the position after the last one. */
export function quietDialog(
  { index, refused }: Extract<DialogState, { kind: "quiet" }>,
  props: SectionProps,
  close: () => void,
): TemplateResult {
  const { t, i18n, matrix, timezone, store, reopenDialog: reopen } = props;
  const stored = matrix.quietSchedule[index];
  const window: QuietWindow = refused?.window ?? stored ?? { start: "22:00", end: "07:00", days: DAYS, allow: "CRITICAL", timezone };
  const zones = [...new Set([timezone, browserZone(), window.timezone])];
  const allowed = ALLOWED.some((priority) => priority === window.allow) ? ALLOWED : [...ALLOWED, window.allow];

  const save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const values = new FormData(form);
    const text = (name: string): string => values.get(name) as string;
    const changed: QuietWindow = {
      start: text("start"),
      end: text("end"),
      days: values.getAll("day").map(Number),
      allow: text("allow") as QuietWindow["allow"],
      timezone: text("timezone") ?? window.timezone,
    };
    if (!changed.days.length) return showError(form, "day", t("noDay"));
    close();
    const windows = [...matrix.quietSchedule.slice(0, index), changed, ...matrix.quietSchedule.slice(index + 1)];
    if (!(await store.setQuietSchedule(windows))) reopen({ kind: "quiet", index, refused: { window: changed, reason: store.refusal } });
  };

  return html`<form @submit=${save}>
    <h2 id="dialog-title">${t(stored ? "quietEdit" : "quietAdd")}</h2>
    <p class="muted-text">${t("quietHint")}</p>
    ${refused ? html`<p class="refusal" role="alert">${t(refused.reason)}</p>` : nothing}
    <div class="fields">
      <label>${t("from")} <input type="time" name="start" required autofocus value=${window.start} /></label>
      <label>${t("to")} <input type="time" name="end" required value=${window.end} /></label>
    </div>
    ${dayFields(t("onDays"), window.days, i18n)}
    <label class="field">
      ${t("allow")}
      <select name="allow">
        ${allowed.map(
          (priority) =>
            html`<option value=${priority} ?selected=${priority === window.allow}>${i18n.label(`ALLOW_${priority}`)}</option>`,
        )}
      </select>
    </label>
    ${zones.length > 1
      ? html`<label class="field">
          ${t("timezone")}
          <select name="timezone">
            ${zones.map(
              (zone) => html`<option value=${zone} ?selected=${zone === window.timezone}>${zoneName(zone)}</option>`,
            )}
          </select>
        </label>`
      : nothing}
    <div class="choices side">
      <button class="button" type="button" @click=${close}>${t("cancel")}</button>
      <button class="button primary">${t("save")}</button>
    </div>
  </form>`;
}

/** Return a checkbox for each weekday. */
export function dayFields(legend: string, checked: number[], i18n: PreferencesI18n): TemplateResult {
  return html`<fieldset @change=${clearError}>
    <legend>${legend}</legend>
    <div class="days">
      ${DAYS.map(
        (day) =>
          html`<label class="day">
            <input type="checkbox" name="day" value=${day} ?checked=${checked.includes(day)} />
            <span aria-hidden="true">${i18n.weekday(day)}</span><span class="hidden">${i18n.weekday(day, "long")}</span>
          </label>`,
      )}
    </div>
  </fieldset>`;
}

/** Show an error at the first of several checkboxes. */
export function showError(form: HTMLFormElement, name: string, text: string): void {
  const first = form.querySelector<HTMLInputElement>(`input[name=${name}]`)!;
  first.setCustomValidity(text);
  first.reportValidity();
}

export const clearError = ({ currentTarget }: Event): void =>
  (currentTarget as HTMLElement).querySelector("input")!.setCustomValidity("");
