import { Catalogs } from "../../i18n";
import { en, type Messages } from "./en";

export type { Messages };
export const catalogs = new Catalogs<Messages>(en, {
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
