import { Catalogs, I18n } from "../../i18n";
import { en, type Messages } from "./en";

export type { Messages };
const catalogs = new Catalogs<Messages>(en, {
  ar: () => import("./ar"),
  de: () => import("./de"),
  es: () => import("./es"),
  fr: () => import("./fr"),
  it: () => import("./it"),
  ja: () => import("./ja"),
  ko: () => import("./ko"),
  nl: () => import("./nl"),
  pl: () => import("./pl"),
  pt: () => import("./pt"),
  sv: () => import("./sv"),
  tr: () => import("./tr"),
  uk: () => import("./uk"),
  zh: () => import("./zh"),
});

export class PreferencesI18n extends I18n<Messages> {
  readonly #timeOfDay = new Intl.DateTimeFormat(this.locale, { hour: "numeric", minute: "2-digit" });
  readonly #list = new Intl.ListFormat(this.locale, { style: "short", type: "unit" });

  constructor(locale: string) {
    super(catalogs, locale, { relativeTime: "long" });
  }

  /** Return the text of an enum value. A value without a text, which a newer hub may return, is shown in lowercase. */
  label(code: string): string {
    return Object.hasOwn(this.messages, code) ? this.messages[code as keyof Messages] : code.toLowerCase().replaceAll("_", " ");
  }

  /** Format the time of day. */
  time(at: Date): string {
    return this.#timeOfDay.format(at);
  }

  /** Format a time of day that has the form HH:MM. */
  clock(time: string): string {
    return this.time(new Date(`2024-01-01T${time}`));
  }

  /** Return the name of a weekday, from 1 (Monday) to 7. */
  weekday(day: number, length: "short" | "long" = "short"): string {
    return new Date(2024, 0, day).toLocaleDateString(this.locale, { weekday: length });
  }

  list(items: string[]): string {
    return this.#list.format(items);
  }
}
