import { defineConfig, type Plugin } from "vite";

// Each is built separately, because a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "packages/inbox/src/inbox.ts",
  "inbox-panel": "packages/inbox/src/inbox/hub-inbox-panel.ts",
  "inbox-tools": "packages/inbox/src/inbox/hub-inbox-tools.ts",
  "inbox-toasts": "packages/inbox/src/inbox/hub-inbox-toasts.ts",
  preferences: "packages/inbox/src/preferences.ts",
  sw: "packages/inbox/src/push/sw.ts",
};
/** The texts of the elements in languages other than English, by the names of their files: `/locales/inbox-de.js`. */
const LANGUAGES = ["ar", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "sv", "tr", "uk", "zh"];
const locales = Object.fromEntries(
  ["inbox", "preferences"].flatMap((element) =>
    LANGUAGES.map((language) => [`${element}-${language}`, `packages/inbox/src/locales/${element}/${language}.ts`]),
  ),
);
// The pages of the demo. Their files have a hash in their names: vite build --mode demo.
const pages = { demo: "index.html", app: "app.html", react: "react.html", vue: "vue.html" };
// The operator console, at `/console/`, with its own Lit: vite build --mode console.
const hashedPages: Record<string, Record<string, string>> = { demo: pages, console: { console: "console.html", "console-preview": "console-preview.html" } };

/** Modules that the other builds import from `/inbox.js`: a page has one Lit and one connection to the hub. */
const SHARED = /^lit(\/|$)|\/(client\/src\/(connection|item-lists|list-query|optimistic-marks)|connected-element|i18n|inbox-icons|page|theme)$/;
const shared: Plugin = {
  name: "shared",
  enforce: "pre",
  resolveId: (source) => (SHARED.test(source) ? { id: "shared", external: true } : null),
};

/** `/inbox.js` loads the content of the panel and the toasts, and the panel its tools, from files of their own. */
const lazy: Plugin = {
  name: "lazy",
  enforce: "pre",
  resolveId: (source) => {
    const name = /\/hub-inbox-(panel|toasts|tools)$/.exec(source)?.[1];
    return name ? { id: name, external: true } : null;
  },
};

/** The elements load each language from a file of its own. */
const lazyLocales: Plugin = {
  name: "lazy-locales",
  enforce: "pre",
  resolveId(source, importer = "") {
    const [, element] = /\/locales\/(\w+)\/index\.ts$/.exec(importer) ?? [];
    const name = `${element}-${source.replace("./", "")}`;
    return Object.hasOwn(locales, name) ? { id: `locale ${name}`, external: true } : null;
  },
};

/** The packages by their names, as apps import them. The elements are those of `/inbox.js`. */
const source = (path: string) => new URL(`packages/${path}`, import.meta.url).pathname;
const packages: Plugin = {
  name: "packages",
  enforce: "pre",
  resolveId: (id) => {
    if (id === "@notification-hub/inbox") return { id: "shared", external: true };
    const [, name, part = ""] = /^@notification-hub\/(\w+)(\/\w+)?$/.exec(id) ?? [];
    return name ? source(name === "inbox" ? "inbox/src/preferences.ts" : `${name}/src${part}/index.ts`) : null;
  },
};

/** Removes indentation, and the spaces and comments of styles, which would otherwise remain inside the templates. */
const compact: Plugin = {
  name: "compact",
  enforce: "pre",
  transform(code, id) {
    if (!/\/src\/.*\.ts$/.test(id)) return null;
    const unindented = code.replace(/^[ \t]+/gm, "");
    return { code: unindented.replace(/\bcss`[^`]*`/g, compactStyles), map: null };
  },
};

function compactStyles(styles: string): string {
  return styles.replace(/\/\*.*?\*\//gs, "").replace(/\s*([{};,>])\s*/g, "$1").replace(/: +/g, ":").replaceAll(";}", "}");
}

const paths: Record<string, string> = {
  shared: "./inbox.js",
  panel: "./inbox-panel.js",
  toasts: "./inbox-toasts.js",
  tools: "./inbox-tools.js",
  ...Object.fromEntries(Object.keys(locales).map((name) => [`locale ${name}`, `./locales/${name}.js`])),
};
const plugins: Record<string, Plugin[]> = {
  inbox: [lazy, lazyLocales],
  "inbox-panel": [lazy, shared],
  preferences: [shared, lazyLocales],
  sw: [],
  console: [],
};

export default defineConfig(({ mode }) => ({
  plugins: [compact, packages, ...(plugins[mode] ?? [shared])],
  logLevel: "warn", // `npm run size` prints the result
  build: {
    target: "es2022",
    emptyOutDir: false,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
    rolldownOptions:
      hashedPages[mode]
        ? {
            input: hashedPages[mode],
            output: {
              paths: { shared: "/inbox.js" },
              entryFileNames: `${mode}/[name]-[hash].js`,
              chunkFileNames: `${mode}/[name]-[hash].js`,
              assetFileNames: `${mode}/[name]-[hash][extname]`,
            },
          }
        : {
            input: mode === "locales" ? locales : { [mode]: files[mode] ?? "" },
            preserveEntrySignatures: "strict",
            treeshake: { manualPureFunctions: ["css", "svg", "icon"] }, // without the styles and icons of the other files
            output: {
              entryFileNames: mode === "locales" ? "locales/[name].js" : "[name].js",
              codeSplitting: mode === "locales",
              paths,
              format: mode === "sw" ? "iife" : "es", // other service workers load it by importScripts
            },
          },
  },
}));
