/** Texts, plurals, numbers, and times in one language. */

/** One text per CLDR plural category of the language. */
export type PluralForms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };
export type Catalog = Record<string, string | PluralForms> & { justNow: string };

/** A catalog with the keys of `English`, in any language. */
export type Translation<English> = { [Key in keyof English]: English[Key] extends string ? string : PluralForms };
export type TextKey<Messages> = { [Key in keyof Messages]: Messages[Key] extends string ? Key : never }[keyof Messages];
type PluralKey<Messages> = Exclude<keyof Messages, TextKey<Messages>>;

type LanguageFile<Messages> = () => Promise<{ default: Partial<Messages> }>;

/** The texts of an element. English is part of its script. The other languages have a file each. */
export class Catalogs<Messages extends Catalog> {
  readonly #files: Readonly<Record<string, LanguageFile<Messages>>>;
  readonly #loaded: Map<string, Messages>;

  constructor(en: Messages, files: Record<string, LanguageFile<Messages>>) {
    this.#files = files;
    this.#loaded = new Map([["en", en]]);
  }

  has(language: string): boolean {
    return language === "en" || Object.hasOwn(this.#files, language);
  }

  get(language: string): Messages | undefined {
    return this.#loaded.get(language);
  }

  /** Load the file of a language. A text that it does not contain is English. Rejects if the file cannot be loaded. */
  async load(language: string): Promise<void> {
    const { default: texts } = await this.#files[language]!();
    this.#loaded.set(language, { ...this.#loaded.get("en")!, ...texts });
  }
}

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
  readonly #day: Intl.DateTimeFormat;
  readonly #time: Intl.DateTimeFormat;

  readonly #load: (() => Promise<void>) | undefined;

  /**
   * `locale` is a BCP 47 tag. For a language whose texts are not loaded, and that has no overrides, everything is English,
   * because English texts with plurals and dates of another language would be wrong.
   */
  constructor(
    catalogs: Catalogs<Messages>,
    locale: string,
    { overrides = {}, relativeTime = "short" }: Options<Messages> = {},
  ) {
    try {
      this.locale = Intl.getCanonicalLocales(locale.replaceAll("_", "-"))[0] ?? "en";
    } catch {
      this.locale = "en";
    }
    const requested = languageOf(this.locale);
    const texts = catalogs.get(requested);
    const isMissing = !texts && catalogs.has(requested);
    if (isMissing) this.#load = () => catalogs.load(requested);
    if (isMissing || (!texts && !Object.keys(overrides).length)) this.locale = "en";
    const language = languageOf(this.locale);
    this.messages = { ...(texts ?? catalogs.get("en")!), ...overrides };
    this.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
    this.#plural = new Intl.PluralRules(this.locale);
    this.#number = new Intl.NumberFormat(this.locale);
    this.#relative = new Intl.RelativeTimeFormat(this.locale, { numeric: "auto", style: relativeTime });
    this.#date = new Intl.DateTimeFormat(this.locale, { dateStyle: "medium" });
    this.#full = new Intl.DateTimeFormat(this.locale, { dateStyle: "full", timeStyle: "short" });
    this.#weekday = new Intl.DateTimeFormat(this.locale, { weekday: "short", hour: "numeric", minute: "2-digit" });
    this.#day = new Intl.DateTimeFormat(this.locale, { weekday: "long" });
    this.#time = new Intl.DateTimeFormat(this.locale, { hour: "numeric", minute: "2-digit" });
  }

  /** Load the texts of the language, if they are not loaded. Return true if they were loaded by this call. */
  async load(): Promise<boolean> {
    if (!this.#load) return false;
    try {
      await this.#load();
      return true;
    } catch (error) {
      console.warn("hub: the texts of the language cannot be loaded", error);
      return false;
    }
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

  /** Format the start of a past day: "Today", "Yesterday", the weekday within a week, or the date. */
  day(start: number, now: number): string {
    const days = Math.round((new Date(now).setHours(0, 0, 0, 0) - start) / 86_400_000);
    const text = days < 2 ? this.#relative.format(-days, "day") : (days < 7 ? this.#day : this.#date).format(start);
    return text.charAt(0).toLocaleUpperCase(this.locale) + text.slice(1);
  }

  /** Format a future time: today as the time, within a week as the weekday and time, and later as the date. */
  when(at: string, now: number): string {
    const then = new Date(at);
    if (then.toDateString() === new Date(now).toDateString()) return this.#time.format(then);
    return (then.getTime() - now > WEEK_S * 1_000 ? this.#date : this.#weekday).format(then);
  }

  /** Format a time within the next days as the weekday and time. */
  weekdayAndTime(at: string): string {
    return this.#weekday.format(Date.parse(at));
  }

  /** Format the complete date and time. */
  full(at: string): string {
    return this.#full.format(Date.parse(at));
  }
}

/** Return the language of a locale. Traditional Chinese is a language of its own. */
function languageOf(locale: string): string {
  const { language, script } = new Intl.Locale(locale).maximize();
  return script === "Hant" ? `${language}-Hant` : language;
}
