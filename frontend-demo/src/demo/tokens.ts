/** Tokens of the development hub, which hands them to its own page on its own machine. They are good for minutes. */

export type Who = "alice" | "bob" | "service";

interface Handed {
  tokens: Record<Who, string>;
  expiresAt: number;
}

const EARLY_S = 60;

/** The hub said why it hands none out. */
export class NoTokens extends Error {}

let handed: Promise<Handed> | undefined;

/** A token of theirs that is good now; a fresh one if it is `refused` that was handed out before. */
export async function tokenOf(who: Who, refused?: string): Promise<string> {
  handed ??= ask();
  try {
    const { tokens, expiresAt } = await handed;
    if (tokens[who] !== refused && expiresAt - EARLY_S > Date.now() / 1000) return tokens[who];
  } catch {
    // asked again, below
  }
  handed = ask();
  return (await handed).tokens[who];
}

async function ask(): Promise<Handed> {
  const answer = await fetch("/dev/tokens", { method: "POST" });
  if (answer.ok) return (await answer.json()) as Handed;
  const { error } = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new NoTokens(error ?? `The hub hands out no tokens (${answer.status}).`);
}
