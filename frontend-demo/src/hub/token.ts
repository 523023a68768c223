/** The tokens that a page hands over, read as far as a browser needs to. */

/** Answers a token that is good now; `refused` is the one that the hub did not take, if any. */
export type GetToken = (refused?: string) => string | Promise<string>;

interface Claims {
  sub?: string;
  tenant?: string;
  exp?: number;
}

/** What a token says of itself. Nothing is checked here. */
export function claims(token: string): Claims {
  try {
    const bytes = atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0)))) as Claims;
  } catch {
    return {}; // the hub will say what it thinks of it
  }
}

/** Tenant and user. */
export const userOf = (token: string): string => {
  const { tenant = "default", sub = "" } = claims(token);
  return `${tenant}/${sub}`;
};
