import { defineConfig, type Plugin } from "vite";

// Each is built by itself, so that a page embeds one file with a stable name: vite build --mode NAME.
const files: Record<string, string> = {
  inbox: "src/inbox.ts",
};

/** Templates are texts, indented for people: what indents them stays here. */
const unindent: Plugin = {
  name: "unindent",
  enforce: "pre",
  transform: (code, id) => (/\/src\/.*\.ts$/.test(id) ? { code: code.replace(/^[ \t]+/gm, ""), map: null } : null),
};

export default defineConfig(({ mode }) => ({
  plugins: [unindent],
  build: {
    target: "es2022",
    emptyOutDir: false,
    rolldownOptions: {
      input: { [mode]: files[mode] ?? "index.html" },
      preserveEntrySignatures: "strict",
      output: { entryFileNames: "[name].js", codeSplitting: false },
    },
  },
}));
