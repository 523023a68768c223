/** The dialog to choose for which channels of a category messages are collected, and when they are sent. */
import { html, type TemplateResult } from "lit";
import { collectedChannels, collectible, durationLabel, IMMEDIATELY } from "./collect";
import type { Channel } from "../../../client/src/preferences/operations";
import { clearError, dayFields, showError } from "./quiet-dialog";
import type { DialogState, SectionProps } from "./types";
import { zoneNote } from "./zones";

const DURATIONS = ["PT15M", "PT1H", "PT4H"];
const MORNING = "08:00";
const DAILY = "daily";
const DAYS = [1, 2, 3, 4, 5, 6, 7];

export function collectDialog(
  { category, channels }: Extract<DialogState, { kind: "collect" }>,
  { t, i18n, matrix, timezone, store }: SectionProps,
  close: () => void,
): TemplateResult {
  const rows = collectible(matrix.categories);
  const row = rows.find((other) => other.category.key === category);
  const stored = row?.channels.find(({ channel }) => channel === channels[0]);
  const at = row ? stored?.digestAt : MORNING;
  const durations = [...new Set([...DURATIONS, ...(stored?.digest ? [stored.digest] : []), IMMEDIATELY])];
  const isChecked = (channel: Channel): boolean => !row || channels.includes(channel);

  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const values = new FormData(form);
    const text = (name: string): string => values.get(name) as string;
    const chosen = values.getAll("channel") as Channel[];
    const daily = text("when") === DAILY;
    const days = values.getAll("day").map(Number);
    if (!chosen.length) return showError(form, "channel", t("noChannel"));
    if (daily && !days.length) return showError(form, "day", t("noDay"));
    const choice = {
      digest: daily ? null : text("when"),
      digestAt: daily ? text("at") : null,
      digestDays: daily && days.length < DAYS.length ? days : null,
    };
    const cleared = { digest: null, digestAt: null, digestDays: null };
    close();
    void store.collect(category ?? text("category"), [
      ...channels.filter((channel) => !chosen.includes(channel)).map((channel) => ({ channel, ...cleared })),
      ...chosen.map((channel) => ({ channel, ...choice })),
    ]);
  };
  const showDaily = ({ target }: Event): void => {
    const { value, form } = target as HTMLSelectElement;
    const fields = form!.querySelector<HTMLFieldSetElement>(".daily")!;
    fields.hidden = fields.disabled = value !== DAILY;
  };

  return html`<form @submit=${save}>
    <h2 id="dialog-title">${row ? t("collectEdit", { category: row.category.name }) : t("collectAdd")}</h2>
    <p class="muted-text">${t("collectHint")}</p>
    ${row
      ? ""
      : html`<label class="field">
          ${t("category")}
          <select name="category" autofocus>
            ${rows.map(({ category: { key, name } }) => html`<option value=${key}>${name}</option>`)}
          </select>
        </label>`}
    <fieldset @change=${clearError}>
      <legend>${t("collectChannels")}</legend>
      <div class="pills">
        ${collectedChannels(matrix).map(
          (channel) =>
            html`<label class="day">
              <input type="checkbox" name="channel" value=${channel} ?checked=${isChecked(channel)} />
              <span>${i18n.label(channel)}</span>
            </label>`,
        )}
      </div>
    </fieldset>
    <label class="field">
      ${t("collectWhen")}
      <select name="when" ?autofocus=${row} @change=${showDaily}>
        <option value=${DAILY} ?selected=${at}>${t("collectAt")}</option>
        ${durations.map(
          (duration) =>
            html`<option value=${duration} ?selected=${duration === stored?.digest}>${durationLabel(i18n, duration)}</option>`,
        )}
      </select>
    </label>
    <fieldset class="daily" ?hidden=${!at} ?disabled=${!at}>
      <label>${t("at")} <input type="time" name="at" required value=${at ?? MORNING} />${zoneNote(timezone)}</label>
      ${dayFields(t("collectDays"), stored?.digestDays ?? DAYS, i18n)}
    </fieldset>
    <div class="choices side">
      <button class="button" type="button" @click=${close}>${t("cancel")}</button>
      <button class="button primary">${t("save")}</button>
    </div>
  </form>`;
}
