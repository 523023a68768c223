/** Short-lived tokens that a development hub issues to its own demo page. */

export type DemoRole = "alice" | "bob" | "service" | "admin";

interface IssuedTokens {
  tokens: Record<DemoRole, string>;
  expiresAt: number;
}

const EXPIRY_MARGIN_S = 60;

/** The hub does not issue tokens. The message is the reason. */
export class TokensUnavailable extends Error {}

let issued: Promise<IssuedTokens> | undefined;

/** Return a valid token. The token is new if the cached one is `refused` or about to expire. */
export async function getDemoToken(role: DemoRole, refused?: string): Promise<string> {
  issued ??= requestTokens();
  try {
    const { tokens, expiresAt } = await issued;
    if (tokens[role] !== refused && expiresAt - EXPIRY_MARGIN_S > Date.now() / 1000) return tokens[role];
  } catch {
    // Request them again below.
  }
  issued = requestTokens();
  return (await issued).tokens[role];
}

async function requestTokens(): Promise<IssuedTokens> {
  const response = await fetch("/dev/tokens", { method: "POST" });
  if (response.ok) return (await response.json()) as IssuedTokens;
  const { error } = (await response.json().catch(() => ({}))) as { error?: string };
  throw new TokensUnavailable(error ?? `The hub issued no tokens (${response.status}).`);
}
