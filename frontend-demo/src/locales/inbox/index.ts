import { ar } from "./ar";
import { de } from "./de";
import { en } from "./en";
import type { Messages } from "./en";

export type { Messages };
export const catalogs: { en: Messages } & Record<string, Messages> = { en, de, ar };
