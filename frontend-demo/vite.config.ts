import { defineConfig, type Plugin } from "vite";

// Each is built by itself, so that a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "src/inbox.ts",
  preferences: "src/preferences.ts",
  sw: "src/push/sw.ts",
};
// The demo is two pages, whose files have a hash in their name: vite build --mode demo.
const pages = { desk: "index.html", app: "app.html" };
const hashed = "demo/[name]-[hash]";

/** What others take from `/inbox.js`, so that a page has one Lit and one connection to the hub. */
const SHARED = /^lit(\/|$)|\/hub\/connection$/;
const shared: Plugin = {
  name: "shared",
  enforce: "pre",
  resolveId: (source) => (SHARED.test(source) ? { id: "shared", external: true } : null),
};

/** Templates are texts, indented for people: what indents them stays here. */
const unindent: Plugin = {
  name: "unindent",
  enforce: "pre",
  transform: (code, id) => (/\/src\/.*\.ts$/.test(id) ? { code: code.replace(/^[ \t]+/gm, ""), map: null } : null),
};

export default defineConfig(({ mode }) => ({
  plugins: ["preferences", "demo"].includes(mode) ? [unindent, shared] : [unindent],
  logLevel: "warn", // `npm run size` tells what came of it
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
              format: mode === "sw" ? "iife" : "es", // another service worker may take it in by importScripts
            },
          },
  },
}));
