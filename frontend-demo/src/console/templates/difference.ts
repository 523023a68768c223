/** The difference between two texts, by line. */

export interface Line {
  /** "+" for an added line, "-" for a removed one, " " for a line of both. */
  readonly mark: "+" | "-" | " ";
  readonly text: string;
}

const CELLS_MAX = 4_000_000; // lines times lines of a comparison

/** Return the lines of both texts, in order. Texts that are too long are shown as removed and added as a whole. */
export function difference(before: string, after: string): Line[] {
  const old = before ? before.split("\n") : [];
  const current = after ? after.split("\n") : [];
  if (old.length * current.length > CELLS_MAX) return [...marked("-", old), ...marked("+", current)];
  // lengths[i][j]: the number of equal lines in the rest of both texts, from line i and line j
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint32Array(current.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = current.length - 1; j >= 0; j--) {
      lengths[i]![j] = old[i] === current[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
    }
  }
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length && j < current.length) {
    if (old[i] === current[j]) {
      lines.push({ mark: " ", text: old[i]! });
      i++;
      j++;
    } else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) lines.push({ mark: "-", text: old[i++]! });
    else lines.push({ mark: "+", text: current[j++]! });
  }
  return [...lines, ...marked("-", old.slice(i)), ...marked("+", current.slice(j))];
}

const marked = (mark: Line["mark"], lines: readonly string[]): Line[] => lines.map((text) => ({ mark, text }));
