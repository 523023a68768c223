// Fails if a file that other pages embed, or the headless client, is missing or larger than its limit.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

// gzip
const MAX_BYTES = {
  "inbox.js": 27_000,
  "inbox-panel.js": 16_000,
  "inbox-tools.js": 5_000,
  "inbox-toasts.js": 3_500,
  "preferences.js": 30_000,
  "sw.js": 5_000,
};
const CLIENT_MAX_BYTES = 12_000; // gzip

function check(name, content, max) {
  const bytes = gzipSync(content, { level: 9 }).length;
  console.log(`${name}: ${bytes} of at most ${max} bytes, compressed`);
  if (bytes > max) process.exitCode = 1;
}

for (const [name, max] of Object.entries(MAX_BYTES)) {
  check(name, readFileSync(new URL(`dist/${name}`, import.meta.url)), max);
}

const { output } = await build({
  root: fileURLToPath(new URL(".", import.meta.url)),
  configFile: false,
  logLevel: "warn",
  build: {
    target: "es2022",
    write: false,
    rolldownOptions: { input: "packages/client/src/index.ts", preserveEntrySignatures: "strict" },
  },
});
check("@notification-hub/client", output.map(({ code }) => code).join(""), CLIENT_MAX_BYTES);
