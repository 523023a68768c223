import { defineConfig, type Plugin } from "vite";

// Each is built separately, because a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "src/inbox.ts",
  preferences: "src/preferences.ts",
  sw: "src/push/sw.ts",
};
// The demo has two pages. Their files have a hash in their names: vite build --mode demo.
const pages = { demo: "index.html", app: "app.html" };
const hashed = "demo/[name]-[hash]";

/** Modules that the other builds import from `/inbox.js`: a page has one Lit and one connection to the hub. */
const SHARED = /^lit(\/|$)|\/(client\/connection|connected-element|i18n)$/;
const shared: Plugin = {
  name: "shared",
  enforce: "pre",
  resolveId: (source) => (SHARED.test(source) ? { id: "shared", external: true } : null),
};

/** Removes indentation, which would otherwise remain inside the templates. */
const unindent: Plugin = {
  name: "unindent",
  enforce: "pre",
  transform: (code, id) => (/\/src\/.*\.ts$/.test(id) ? { code: code.replace(/^[ \t]+/gm, ""), map: null } : null),
};

export default defineConfig(({ mode }) => ({
  plugins: ["preferences", "demo"].includes(mode) ? [unindent, shared] : [unindent],
  logLevel: "warn", // `npm run size` prints the result
  build: {
    target: "es2022",
    emptyOutDir: false,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
    rolldownOptions:
      mode === "demo"
        ? {
            input: pages,
            output: {
              paths: { shared: "/inbox.js" },
              entryFileNames: `${hashed}.js`,
              chunkFileNames: `${hashed}.js`,
              assetFileNames: `${hashed}[extname]`,
            },
          }
        : {
            input: { [mode]: files[mode] ?? "" },
            preserveEntrySignatures: "strict",
            output: {
              entryFileNames: "[name].js",
              codeSplitting: false,
              paths: { shared: "./inbox.js" },
              format: mode === "sw" ? "iife" : "es", // other service workers load it by importScripts
            },
          },
  },
}));
