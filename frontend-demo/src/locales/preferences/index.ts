import { I18n } from "../../i18n";
import { ar } from "./ar";
import { de } from "./de";
import { en } from "./en";
import type { Messages } from "./en";

export type { Messages };
export type PreferencesI18n = I18n<Messages>;

const catalogs: { en: Messages } & Record<string, Messages> = { en, de, ar };

export const createPreferencesI18n = (locale: string): PreferencesI18n => new I18n(catalogs, locale, { relativeTime: "long" });
