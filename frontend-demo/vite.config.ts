import { defineConfig, type Plugin } from "vite";

// Each is built by itself, so that a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "src/inbox.ts",
  preferences: "src/preferences.ts",
  sw: "src/push/sw.ts",
};

/** What others take from `/inbox.js`, so that a page has one Lit and one connection to the hub. */
const SHARED = /^lit(\/|$)|\/hub\/connection$/;
const shared: Plugin = {
  name: "shared",
  enforce: "pre",
  resolveId: (source) => (SHARED.test(source) ? { id: "shared", external: true } : null),
};

export default defineConfig(({ mode }) => ({
  plugins: mode === "preferences" ? [shared] : [],
  build: {
    target: "es2022",
    emptyOutDir: false,
    rolldownOptions: {
      input: { [mode]: files[mode] ?? "index.html" },
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
