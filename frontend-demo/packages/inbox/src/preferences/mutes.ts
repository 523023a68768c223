/** The muted categories, and the dialog to mute one. */
import { html, nothing, type TemplateResult } from "lit";
import type { PreferencesI18n } from "../locales/preferences";
import { bell } from "./icons";
import type { Row } from "../../../client/src/preferences/operations";
import type { Section, SectionProps } from "./types";

/** The end time of an unlimited mute, which MongoDB and all browsers can store. */
export const FOREVER = "9999-01-01T00:00:00.000Z";
const LAST_DATE = "9998-12-31";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MORNING_HOUR = 8;

/** Return the text "Muted until ...". `now` is in milliseconds. */
export function muteLabel(i18n: PreferencesI18n, until: string, now: number): string {
  const forever = Date.parse(until) >= Date.parse(FOREVER);
  return forever ? i18n.t("mutedForever") : i18n.t("mutedUntil", { time: i18n.when(until, now) });
}

/** Return the durations that can be chosen, each with its label and end time. */
export function muteChoices(i18n: PreferencesI18n, now: number): [label: string, until: string][] {
  const after = (ms: number) => new Date(now + ms).toISOString();
  const morning = morningOf(new Date(now + DAY_MS));
  return [
    [i18n.t("hour"), after(HOUR_MS)],
    [i18n.t("hours"), after(8 * HOUR_MS)],
    [i18n.t("day"), after(DAY_MS)],
    [i18n.t("tomorrow", { time: i18n.time(morning) }), morning.toISOString()],
    [i18n.t("week"), after(7 * DAY_MS)],
  ];
}

function morningOf(day: Date): Date {
  const morning = new Date(day);
  morning.setHours(MORNING_HOUR, 0, 0, 0);
  return morning;
}

/** The dialog to mute a category for a while, until a date, or forever. */
export function muteDialog({ key, name }: Row["category"], props: SectionProps, close: () => void): TemplateResult {
  const { t, i18n, store, now, showMessage } = props;
  const mute = async (until: string): Promise<void> => {
    close();
    if (await store.mute(key, until)) showMessage(t("whyMuted", { category: name }));
  };
  const muteUntil = (event: SubmitEvent): void => {
    event.preventDefault();
    const date = new FormData(event.target as HTMLFormElement).get("date") as string;
    void mute(morningOf(new Date(`${date}T00:00`)).toISOString());
  };
  return html`<h2 id="dialog-title">${t("muteTitle", { category: name })}</h2>
    <p class="muted-text">${t("muteHint")}</p>
    <div class="choices pairs">
      ${[...muteChoices(i18n, now), [t("forever"), FOREVER] as const].map(
        ([label, until]) => html`<button class="button" @click=${() => mute(until)}>${label}</button>`,
      )}
    </div>
    <form class="until" @submit=${muteUntil}>
      <label>${t("untilDate")} <input type="date" name="date" required min=${dateOf(now + DAY_MS)} max=${LAST_DATE} /></label>
      <button class="button">${t("mute")}</button>
    </form>
    <div class="choices"><button class="button quiet" @click=${close}>${t("cancel")}</button></div>`;
}

/** Return the local date in the form YYYY-MM-DD. */
function dateOf(at: number): string {
  const day = new Date(at);
  return [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

export const mutes: Section = ({ matrix, i18n, t, now, store, focusHeading }) => {
  const muted = matrix.categories.filter(({ mutedUntil }) => mutedUntil);
  if (!muted.length) return nothing;
  return html`<section aria-labelledby="mutes">
    <h2 id="mutes">${t("muted")}</h2>
    <ul>
      ${muted.map(
        ({ category, mutedUntil }) =>
          html`<li class="row">
            <div class="grow">
              <strong><bdi>${category.name}</bdi></strong>
              <p class="muted-text">${muteLabel(i18n, mutedUntil!, now)}</p>
            </div>
            <button
              class="button"
              aria-label=${t("unmuteTitle", { category: category.name })}
              @click=${() => (store.mute(category.key, null), focusHeading("matrix"))}
            >
              ${bell} ${t("unmute")}
            </button>
          </li>`,
      )}
    </ul>
  </section>`;
};
