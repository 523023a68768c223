/** The categories whose messages are collected and sent as one, by the choice of the user or of the organization. */
import { html, nothing, type TemplateResult } from "lit";
import type { PreferencesI18n } from "../locales/preferences";
import type { Cell, Channel, Row } from "../../../client/src/preferences/operations";
import { daysLabel } from "./quiet";
import type { Section, SectionProps } from "./types";
import { zoneNote } from "./zones";

/** Messages are not collected, even if the sender does. */
export const IMMEDIATELY = "PT0S";

const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7];
const DURATION = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/;
const UNITS = ["day", "hour", "minute", "second"];

interface Group {
  category: Row["category"];
  channels: Channel[];
  choice: Cell;
}

export const collect: Section = (props) => {
  const { matrix, t, openDialog } = props;
  if (!collectible(matrix.categories).length || !collectedChannels(matrix).length) return nothing;
  const groups = collectible(matrix.categories).flatMap(groupByChoice);
  return html`<section aria-labelledby="collect">
    <h2 id="collect" tabindex="-1">${t("collect")}</h2>
    <p class="muted-text lead">${t("collectHint")}</p>
    <ul>
      ${groups.map((group) => collectRow(props, group))}
      <li class="row">
        <p class="muted-text grow">${t(groups.length ? "collectMore" : "collectNone")}</p>
        <button class="button" aria-haspopup="dialog" @click=${() => openDialog({ kind: "collect", channels: [] })}>
          ${t("collectAdd")}
        </button>
      </li>
    </ul>
  </section>`;
};

/** Return the categories for which the user can choose. */
export const collectible = (rows: Row[]): Row[] => rows.filter(({ category }) => !category.required);

/** Return the channels on which messages can be collected. */
export const collectedChannels = (matrix: SectionProps["matrix"]): Channel[] =>
  matrix.channels.map(({ channel }) => channel).filter((channel) => channel !== "IN_APP");

/** Return the text of a duration that begins with "Collect for". */
export function durationLabel(i18n: PreferencesI18n, duration: string): string {
  if (duration === IMMEDIATELY) return i18n.t("collectNever");
  const parts = (DURATION.exec(duration) ?? []).slice(1).flatMap((number, index) => {
    const options = { style: "unit", unit: UNITS[index], unitDisplay: "long" } as const;
    return number ? [Number(number).toLocaleString(i18n.locale, options)] : [];
  });
  return i18n.t("collectFor", { time: parts.length ? i18n.list(parts) : duration });
}

/** Return the channels of a category that have a choice, as groups with the same choice. */
function groupByChoice({ category, channels }: Row): Group[] {
  const groups = new Map<string, Group>();
  for (const choice of channels) {
    if (!choice.digest && !choice.digestAt) continue;
    const key = [choice.digest, choice.digestAt, choice.digestDays].join();
    const group = groups.get(key);
    if (group) group.channels.push(choice.channel);
    else groups.set(key, { category, channels: [choice.channel], choice });
  }
  return [...groups.values()];
}

function collectRow(props: SectionProps, { category, channels, choice }: Group): TemplateResult {
  const { t, i18n, timezone, store, openDialog, focusHeading } = props;
  const names = i18n.list(channels.map((channel) => i18n.label(channel)));
  const when = choice.digestAt
    ? t("collectDaily", { days: daysLabel(i18n, choice.digestDays ?? EVERY_DAY), time: i18n.clock(choice.digestAt) }) + zoneNote(timezone)
    : durationLabel(i18n, choice.digest!);
  const named = { name: `${category.name}, ${names}: ${when}` };
  const remove = async (): Promise<void> => {
    focusHeading("collect");
    const cleared = channels.map((channel) => ({ channel, digest: null, digestAt: null, digestDays: null }));
    if (!(await store.collect(category.key, cleared))) return;
    const row = store.matrix?.categories.find((other) => other.category.key === category.key);
    const kept = row?.channels.some((cell) => channels.includes(cell.channel) && (cell.digest || cell.digestAt));
    if (kept) props.showMessage(t("collectDefault"));
  };
  return html`<li class="row">
    <div class="grow">
      <strong><bdi>${category.name}</bdi> · ${names}</strong>
      <p class="muted-text">${when}</p>
    </div>
    <div class="actions">
      <button
        class="button"
        aria-label=${t("changeEntry", named)}
        aria-haspopup="dialog"
        @click=${() => openDialog({ kind: "collect", category: category.key, channels })}
      >
        ${t("edit")}
      </button>
      <button class="button" aria-label=${t("removeEntry", named)} @click=${remove}>${t("remove")}</button>
    </div>
  </li>`;
}
