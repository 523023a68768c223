/** One language: its words, its plurals, how it writes numbers and times, and from which side. */
import { ar } from "./ar";
import { de } from "./de";
import { en } from "./en";

type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };
export type Words = { [Key in keyof typeof en]: (typeof en)[Key] extends string ? string : Forms };
export type Plain = { [Key in keyof Words]: Words[Key] extends string ? Key : never }[keyof Words];
type Plural = Exclude<keyof Words, Plain>;

const languages: Record<string, Words> = { en, de, ar };
const RIGHT_TO_LEFT = ["ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
const WEEK_S = 7 * 86_400;

export class Language {
  readonly locale: string;
  readonly dir: "ltr" | "rtl";
  readonly #words: Words;
  readonly #plural: Intl.PluralRules;
  readonly #number: Intl.NumberFormat;
  readonly #relative: Intl.RelativeTimeFormat;
  readonly #date: Intl.DateTimeFormat;
  readonly #whole: Intl.DateTimeFormat;
  readonly #soon: Intl.DateTimeFormat;

  /**
   * `own` words go before those of the language: a translation that is not here yet, or an app's own tone. Without any
   * a language that is not here is English throughout: nobody reads English words by another language's rules.
   */
  constructor(locale: string, own: Partial<Words> = {}) {
    try {
      this.locale = Intl.getCanonicalLocales(locale.replaceAll("_", "-"))[0] ?? "en";
    } catch {
      this.locale = "en";
    }
    const here = (locale: string) => Object.hasOwn(languages, locale.split("-")[0] ?? "");
    if (!here(this.locale) && !Object.keys(own).length) this.locale = "en";
    const language = this.locale.split("-")[0] ?? "en";
    this.#words = { ...(languages[language] ?? en), ...own };
    this.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
    this.#plural = new Intl.PluralRules(this.locale);
    this.#number = new Intl.NumberFormat(this.locale);
    this.#relative = new Intl.RelativeTimeFormat(this.locale, { numeric: "auto", style: "short" });
    this.#date = new Intl.DateTimeFormat(this.locale, { dateStyle: "medium" });
    this.#whole = new Intl.DateTimeFormat(this.locale, { dateStyle: "full", timeStyle: "short" });
    this.#soon = new Intl.DateTimeFormat(this.locale, { weekday: "short", hour: "numeric", minute: "2-digit" });
  }

  /** Of the page, where it says one; else of the browser. */
  static ofPage(): string {
    return document.documentElement.lang || navigator.language;
  }

  say(key: Plain, values: Record<string, string> = {}): string {
    return this.#words[key].replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
  }

  count(key: Plural, n: number): string {
    const forms = this.#words[key];
    return (forms[this.#plural.select(n)] ?? forms.other).replace("{n}", this.number(n));
  }

  number(n: number): string {
    return this.#number.format(n);
  }

  /** "5 min. ago", "yesterday", and after a week the date. */
  ago(at: string, now: number): string {
    const passed = (now - Date.parse(at)) / 1_000;
    if (passed >= WEEK_S) return this.#date.format(Date.parse(at));
    for (const [unit, seconds] of STEPS) if (passed >= seconds) return this.#relative.format(-Math.floor(passed / seconds), unit);
    return this.#relative.format(0, "second");
  }

  /** A time to come, within a week by its weekday. */
  when(at: string, now: number): string {
    const far = Date.parse(at) - now > WEEK_S * 1_000;
    return (far ? this.#date : this.#soon).format(Date.parse(at));
  }

  whole(at: string): string {
    return this.#whole.format(Date.parse(at));
  }
}
