/** The words of one language, and its times. */
import { ar } from "../words/preferences/ar";
import { de } from "../words/preferences/de";
import { en, type Words } from "../words/preferences/en";
import { FOR_EVER } from "./wishes";

const LANGUAGES: Record<string, Words> = { en, de, ar };
const HOUR_MS = 3_600_000;
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 24 * HOUR_MS],
  ["hour", HOUR_MS],
  ["minute", 60_000],
];
const RELATIVE_MAX_MS = 7 * 24 * HOUR_MS;
const MORNING_HOUR = 8;

export class Phrases {
  readonly locale: string;
  readonly direction: "ltr" | "rtl";
  readonly #words: Words;
  readonly #now: () => number;

  /**
   * `wanted` as BCP 47; where it is empty or unknown, the page's language, the browser's, English. `now`: the current
   * time in milliseconds, by the hub's clock.
   */
  constructor(wanted: string, now: () => number) {
    this.#now = now;
    const asked = [wanted, document.documentElement.lang, ...navigator.languages];
    const language = (locale: string) => locale.toLowerCase().split("-")[0] ?? "";
    const found = asked.find((locale) => Object.hasOwn(LANGUAGES, language(locale))) ?? "en";
    this.locale = found;
    this.#words = LANGUAGES[language(found)] ?? en;
    this.direction = language(found) === "ar" ? "rtl" : "ltr";
  }

  /** The phrase with its `{gaps}` filled; of an unknown key the key, in plain letters. */
  say(key: keyof Words | (string & {}), gaps: Record<string, string> = {}): string {
    const phrase = Object.hasOwn(this.#words, key) ? this.#words[key as keyof Words] : plain(key);
    return phrase.replace(/\{(\w+)\}/g, (gap, name: string) => gaps[name] ?? gap);
  }

  /** A moment in the past: `2 hours ago`, further back the date. */
  ago(instant: string): string {
    const ms = Date.parse(instant) - this.#now();
    if (-ms > RELATIVE_MAX_MS) {
      return new Intl.DateTimeFormat(this.locale, { dateStyle: "medium" }).format(Date.parse(instant));
    }
    const [unit, size] = STEPS.find(([, size]) => -ms >= size) ?? ["second", Infinity];
    return new Intl.RelativeTimeFormat(this.locale, { numeric: "auto" }).format(Math.ceil(ms / size) || 0, unit);
  }

  /** A moment to come: the time, and the day where it is another. */
  at(instant: string | Date): string {
    const then = new Date(instant);
    const today = then.toDateString() === new Date(this.#now()).toDateString();
    const day = today ? {} : ({ weekday: "short", day: "numeric", month: "short" } as const);
    return new Intl.DateTimeFormat(this.locale, { ...day, hour: "numeric", minute: "2-digit" }).format(then);
  }

  mutedUntil(instant: string): string {
    const forEver = Date.parse(instant) >= Date.parse(FOR_EVER);
    return forEver ? this.say("mutedForever") : this.say("mutedUntil", { time: this.at(instant) });
  }

  /** How long something can be muted: what it is called, and its end. */
  mutes(): [string, string][] {
    const hoursFromNow = (hours: number) => new Date(this.#now() + hours * HOUR_MS).toISOString();
    const morning = new Date(this.#now());
    morning.setDate(morning.getDate() + 1);
    morning.setHours(MORNING_HOUR, 0, 0, 0);
    const time = new Intl.DateTimeFormat(this.locale, { hour: "numeric", minute: "2-digit" }).format(morning);
    return [
      [this.say("hour"), hoursFromNow(1)],
      [this.say("hours"), hoursFromNow(8)],
      [this.say("tomorrow", { time }), morning.toISOString()],
      [this.say("forever"), FOR_EVER],
    ];
  }
}

const plain = (key: string): string => key.toLowerCase().replaceAll("_", " ");
