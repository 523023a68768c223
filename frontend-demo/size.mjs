// Fails if a file that other pages embed is missing or larger than its limit.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const MAX_BYTES = { "inbox.js": 30_000, "preferences.js": 30_000, "sw.js": 5_000 }; // gzip

for (const [name, max] of Object.entries(MAX_BYTES)) {
  const path = new URL(`dist/${name}`, import.meta.url);
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  console.log(`${name}: ${bytes} of at most ${max} bytes, compressed`);
  if (bytes > max) process.exitCode = 1;
}
