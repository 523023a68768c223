/** The muted categories and the durations for which a category can be muted. */
import { html, nothing } from "lit";
import type { PreferencesI18n } from "../locales/preferences";
import { bell } from "./icons";
import type { Section } from "./types";

/** The end time of an unlimited mute, which MongoDB and all browsers can store. */
export const FOREVER = "9999-01-01T00:00:00.000Z";

const HOUR_MS = 3_600_000;
const MORNING_HOUR = 8;

/** Return the text "Muted until ...". `now` is in milliseconds. */
export function muteLabel(i18n: PreferencesI18n, until: string, now: number): string {
  const forever = Date.parse(until) >= Date.parse(FOREVER);
  return forever ? i18n.t("mutedForever") : i18n.t("mutedUntil", { time: i18n.when(until, now) });
}

/** Return the durations that can be chosen, each with its label and end time. */
export function muteChoices(i18n: PreferencesI18n, now: number): [label: string, until: string][] {
  const hoursFromNow = (hours: number) => new Date(now + hours * HOUR_MS).toISOString();
  const morning = new Date(now);
  morning.setDate(morning.getDate() + 1);
  morning.setHours(MORNING_HOUR, 0, 0, 0);
  return [
    [i18n.t("hour"), hoursFromNow(1)],
    [i18n.t("hours"), hoursFromNow(8)],
    [i18n.t("tomorrow", { time: i18n.time(morning) }), morning.toISOString()],
    [i18n.t("forever"), FOREVER],
  ];
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
