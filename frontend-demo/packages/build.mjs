// Builds the packages into packages/*/dist: ES modules by Vite, and types by the TypeScript compiler.
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { build } from "vite";

const FRONT = fileURLToPath(new URL("..", import.meta.url));

/** The modules with the public types. Their declarations refer only to one another and to other packages. */
const PACKAGES = {
  client: {
    entries: ["index", "internal", "preferences/index"],
    types: ["index", "types", "errors", "preferences/index", "preferences/types"],
    files: { "graphql-ws.LICENSE.md": "node_modules/graphql-ws/LICENSE.md" }, // it is part of the bundle
  },
  inbox: {
    entries: ["index", "preferences"],
    types: ["index", "preferences", "elements", "i18n", "locales/inbox/en"],
    files: {
      "hub-inbox.css": "packages/inbox/hub-inbox.css",
      "hub-inbox.css.d.ts": "packages/inbox/hub-inbox.css.d.ts",
    },
  },
  react: { entries: ["index"], types: ["index", "provider", "elements", "hooks"], banner: '"use client";' },
  vue: { entries: ["index"], types: ["index", "elements", "composables"] },
};

/** The entry `internal` of the client exports all its modules, for `@notification-hub/inbox` of the same version only. */
const INTERNAL = `${FRONT}packages/client/src/internal.ts`;
const internal = {
  name: "internal",
  enforce: "pre",
  resolveId: (source) => (source.endsWith("/client/src/internal.ts") ? INTERNAL : null),
  load(id) {
    if (id !== INTERNAL) return null;
    const files = readdirSync(dirname(INTERNAL), { recursive: true }).filter((file) => /^(?!.*(index|types|\.d)\.ts$).*\.ts$/.test(file));
    return files.map((file) => `export * from "./${file}";`).join("\n");
  },
};

/** The other packages use the client by its name, so a page has one copy of it. */
const client = {
  name: "client",
  enforce: "pre",
  resolveId: (source) => (source.includes("/client/src/") ? { id: "@notification-hub/client/internal", external: true } : null),
};

/** The texts of each language of an element have a file of their own. */
function nameChunk({ facadeModuleId }) {
  const [, element, language] = /\/locales\/(\w+)\/(\w+)\.ts$/.exec(facadeModuleId ?? "") ?? [];
  return element ? `locales/${element}-${language}.js` : "shared/[name].js";
}

async function buildModules(name, { entries, banner = "" }) {
  await build({
    root: FRONT,
    configFile: false,
    logLevel: "warn",
    plugins: [name === "client" ? internal : client],
    define: { "import.meta.url": "location.href" }, // the default endpoint is on the origin of the page
    build: {
      target: "es2022",
      outDir: `packages/${name}/dist`,
      minify: false,
      lib: { entry: Object.fromEntries(entries.map((entry) => [entry, `packages/${name}/src/${entry}.ts`])), formats: ["es"] },
      rolldownOptions: {
        external: [/^lit(\/|$)/, /^@notification-hub\//, "react", "react-dom", "vue"],
        output: { banner, entryFileNames: "[name].js", chunkFileNames: nameChunk },
      },
    },
  });
}

/** Write the declarations of the modules with public types. Throws if a module has errors. */
function buildTypes() {
  const { config } = ts.readConfigFile(`${FRONT}tsconfig.json`, ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, FRONT);
  const modules = Object.entries(PACKAGES).flatMap(([name, { types }]) => types.map((type) => `${FRONT}packages/${name}/src/${type}.ts`));
  const program = ts.createProgram(modules, { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true });
  const write = (path, text) => {
    const file = path.replace(/(packages\/\w+)\/src\//, "$1/dist/");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  for (const module of modules) {
    const file = program.getSourceFile(module);
    const faults = [...program.getSemanticDiagnostics(file), ...program.emit(file, write, undefined, true).diagnostics];
    const messages = faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
    if (messages.length) throw new Error(`${module}: ${messages.join("\n")}`);
  }
}

for (const [name, options] of Object.entries(PACKAGES)) {
  const folder = `${FRONT}packages/${name}`;
  rmSync(`${folder}/dist`, { recursive: true, force: true });
  await buildModules(name, options);
  for (const [to, from] of Object.entries(options.files ?? {})) copyFileSync(`${FRONT}${from}`, `${folder}/dist/${to}`);
  copyFileSync(`${FRONT}../LICENSE`, `${folder}/LICENSE`);
}
buildTypes();
