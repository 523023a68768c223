// Fails if a text of a language lacks a plural form that the language uses, or has other placeholders than in English.
import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";

const LOCALES = new URL("packages/inbox/src/locales/", import.meta.url);

/** Return the texts of a module, which imports types only. */
async function load(path) {
  const { outputText } = ts.transpileModule(readFileSync(new URL(path, LOCALES), "utf8"), { compilerOptions: { module: "esnext" } });
  const module = await import(`data:text/javascript,${encodeURIComponent(outputText)}`);
  return module.default ?? module.en;
}

const placeholders = (text) => (text.match(/\{\w+\}/g) ?? []).sort().join(" ");

function fault(language, english, text) {
  if (typeof text === "string") return placeholders(text) === placeholders(english) ? "" : `has the placeholders "${placeholders(text)}"`;
  const used = new Intl.PluralRules(language).resolvedOptions().pluralCategories.toSorted().join();
  const forms = Object.keys(text).toSorted().join();
  if (forms !== used) return `has the plural forms ${forms} instead of ${used}`;
  return Object.values(text).every((form) => /^(\{n\})?$/.test(placeholders(form))) ? "" : "has placeholders other than {n}";
}

for (const element of ["inbox", "preferences"]) {
  const english = await load(`${element}/en.ts`);
  for (const file of readdirSync(new URL(element, LOCALES)).filter((name) => name !== "index.ts")) {
    const language = file.replace(".ts", "");
    for (const [key, text] of Object.entries(await load(`${element}/${file}`))) {
      const found = fault(language, english[key], text);
      if (!found) continue;
      console.error(`locales/${element}/${file}: ${key} ${found}`);
      process.exitCode = 1;
    }
  }
}
