import { defineConfig } from "vite";

// Each is built by itself, so that a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "src/inbox.ts",
  preferences: "src/preferences.ts",
  sw: "src/push/sw.ts",
};

export default defineConfig(({ mode }) => ({
  build: {
    target: "es2022",
    emptyOutDir: false,
    rolldownOptions: {
      input: { [mode]: files[mode] ?? "index.html" },
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: "[name].js",
        codeSplitting: false,
        format: mode === "sw" ? "iife" : "es", // another service worker may take it in by importScripts
      },
    },
  },
}));
