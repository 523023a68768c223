/** The choices for the end of a snooze: three common times, each with its time, and any other date and time. */
import { css, html, type TemplateResult } from "lit";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";

/** Return the end of a snooze. `now` is in milliseconds on the hub's clock. */
export type Until = (now: number) => string;

const MORNING_H = 8;
const MONDAY = 1;
const MINUTE_MS = 60_000;

function morningIn(days: number, now: number): string {
  const at = new Date(now);
  at.setDate(at.getDate() + days);
  at.setHours(MORNING_H, 0, 0, 0);
  return at.toISOString();
}

const choices: ["inAnHour" | "tomorrow" | "nextWeek", Until][] = [
  ["inAnHour", (now) => new Date(now + 60 * MINUTE_MS).toISOString()],
  ["tomorrow", (now) => morningIn(1, now)],
  ["nextWeek", (now) => morningIn((MONDAY - new Date(now).getDay() + 7) % 7 || 7, now)],
];

export const choicesStyles = css`
  .choices { display: flex; flex-wrap: wrap; gap: 8px; position: relative; z-index: 1; width: fit-content; margin-block-start: 10px; padding-block: 4px 2px; }
  .choices .pill { gap: 6px; }
  .choices small { color: var(--muted); font-size: 0.9em; font-weight: 400; }
  .choices form { display: flex; flex-wrap: wrap; align-items: end; gap: 8px; }
  .choices label { display: grid; gap: 2px; color: var(--muted); font-size: 0.9em; }
  .choices input {
    min-height: var(--touch);
    padding: 0 8px;
    border: 1px solid var(--border);
    border-radius: 8px;
    background: var(--raised);
    color: var(--text);
    font: inherit;
  }
`;

/** Format a time as the value of a `datetime-local` input: `2026-11-30T08:00`, in the time zone of the browser. */
function toInputValue(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * MINUTE_MS);
  return local.toISOString().slice(0, "2026-11-30T08:00".length);
}

export function snoozeChoices(i18n: I18n<Messages>, now: number, choose: (until: Until) => void): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const { value } = (event.target as HTMLFormElement).querySelector("input")!;
    choose(() => new Date(value).toISOString());
  };
  const onKey = (event: KeyboardEvent) => {
    const forward = i18n.dir === "rtl" ? -1 : 1;
    const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: forward, ArrowLeft: -forward }[event.key];
    const buttons = [...(event.currentTarget as Element).querySelectorAll("button")];
    const at = buttons.indexOf(event.target as HTMLButtonElement);
    if (!step || at < 0) return;
    event.preventDefault();
    event.stopPropagation(); // otherwise the next row gets the focus
    buttons.at((at + step) % buttons.length)?.focus();
  };
  return html`<div class="choices" part="choices" role="group" @keydown=${onKey} aria-label=${i18n.t("snoozeUntil")}>
    ${choices.map(
      ([key, until]) => html`<button class="pill" part="choice" data-tool=${key} @click=${() => choose(until)}>
        ${i18n.t(key)} <small>${key === "inAnHour" ? i18n.when(until(now), now) : i18n.weekdayAndTime(until(now))}</small>
      </button>`,
    )}
    <form @submit=${submit}>
      <label>${i18n.t("otherTime")}<input type="datetime-local" required min=${toInputValue(now + MINUTE_MS)} /></label>
      <button class="pill" part="choice" data-tool="snoozeUntil">${i18n.t("snooze")}</button>
    </form>
  </div>`;
}
