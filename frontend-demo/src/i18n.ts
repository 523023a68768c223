/** Texts, plurals, numbers, and times in one language. */

/** One text per CLDR plural category of the language. */
export type PluralForms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };
export type Catalog = Record<string, string | PluralForms> & { justNow: string };

/** A catalog with the keys of `English`, in any language. */
export type Translation<English> = { [Key in keyof English]: English[Key] extends string ? string : PluralForms };
export type TextKey<Messages> = { [Key in keyof Messages]: Messages[Key] extends string ? Key : never }[keyof Messages];
type PluralKey<Messages> = Exclude<keyof Messages, TextKey<Messages>>;

interface Options<Messages> {
  /** Texts that replace texts of the catalog, for another tone or a language that is not included. */
  overrides?: Partial<Messages>;
  /** `short` formats "5 min. ago", and `long` formats "5 minutes ago". */
  relativeTime?: "short" | "long";
}

const RIGHT_TO_LEFT = ["ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
const WEEK_S = 7 * 86_400;

export class I18n<Messages extends Catalog> {
  readonly locale: string;
  readonly dir: "ltr" | "rtl";
  protected readonly messages: Messages;
  readonly #plural: Intl.PluralRules;
  readonly #number: Intl.NumberFormat;
  readonly #relative: Intl.RelativeTimeFormat;
  readonly #date: Intl.DateTimeFormat;
  readonly #full: Intl.DateTimeFormat;
  readonly #weekday: Intl.DateTimeFormat;
  readonly #time: Intl.DateTimeFormat;

  /**
   * `catalogs` are the texts by language. `locale` is a BCP 47 tag. For a language without a catalog and overrides,
   * everything is English, because English texts with plurals and dates of another language would be wrong.
   */
  constructor(
    catalogs: { en: Messages } & Record<string, Messages>,
    locale: string,
    { overrides = {}, relativeTime = "short" }: Options<Messages> = {},
  ) {
    try {
      this.locale = Intl.getCanonicalLocales(locale.replaceAll("_", "-"))[0] ?? "en";
    } catch {
      this.locale = "en";
    }
    const hasCatalog = Object.hasOwn(catalogs, languageOf(this.locale));
    if (!hasCatalog && !Object.keys(overrides).length) this.locale = "en";
    const language = languageOf(this.locale);
    this.messages = { ...((hasCatalog && catalogs[language]) || catalogs.en), ...overrides };
    this.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
    this.#plural = new Intl.PluralRules(this.locale);
    this.#number = new Intl.NumberFormat(this.locale);
    this.#relative = new Intl.RelativeTimeFormat(this.locale, { numeric: "auto", style: relativeTime });
    this.#date = new Intl.DateTimeFormat(this.locale, { dateStyle: "medium" });
    this.#full = new Intl.DateTimeFormat(this.locale, { dateStyle: "full", timeStyle: "short" });
    this.#weekday = new Intl.DateTimeFormat(this.locale, { weekday: "short", hour: "numeric", minute: "2-digit" });
    this.#time = new Intl.DateTimeFormat(this.locale, { hour: "numeric", minute: "2-digit" });
  }

  /** Return a text with values in place of its `{placeholders}`. */
  t(key: TextKey<Messages>, values: Record<string, string> = {}): string {
    return (this.messages[key] as string).replace(/\{(\w+)\}/g, (placeholder, name: string) => values[name] ?? placeholder);
  }

  /** Return the plural form of a text for `n`. */
  plural(key: PluralKey<Messages>, n: number): string {
    const forms = this.messages[key] as PluralForms;
    return (forms[this.#plural.select(n)] ?? forms.other).replace("{n}", this.number(n));
  }

  number(n: number): string {
    return this.#number.format(n);
  }

  /** Format a past time: "just now", "5 min. ago", "yesterday", or the date after a week. `now` is in milliseconds. */
  ago(at: string, now: number): string {
    const passed = (now - Date.parse(at)) / 1_000;
    if (passed >= WEEK_S) return this.#date.format(Date.parse(at));
    for (const [unit, seconds] of UNITS) if (passed >= seconds) return this.#relative.format(-Math.floor(passed / seconds), unit);
    return this.messages.justNow;
  }

  /** Format a future time: today as the time, within a week as the weekday and time, and later as the date. */
  when(at: string, now: number): string {
    const then = new Date(at);
    if (then.toDateString() === new Date(now).toDateString()) return this.#time.format(then);
    return (then.getTime() - now > WEEK_S * 1_000 ? this.#date : this.#weekday).format(then);
  }

  /** Format the complete date and time. */
  full(at: string): string {
    return this.#full.format(Date.parse(at));
  }
}

const languageOf = (locale: string): string => locale.split("-")[0] ?? "";
