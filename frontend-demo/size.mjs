// What other pages embed stays small. Fails where something has grown past its bound, or is not there.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const MOST = { "inbox.js": 30_000, "preferences.js": 30_000, "sw.js": 5_000 }; // bytes, compressed

for (const [name, most] of Object.entries(MOST)) {
  const path = new URL(`dist/${name}`, import.meta.url);
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  console.log(`${name}: ${bytes} of at most ${most} bytes, compressed`);
  if (bytes > most) process.exitCode = 1;
}
