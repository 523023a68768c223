/** Read the claims of tokens in the browser without verifying them. */

/** Return a valid token. `refused` is the token that the hub refused, if any. */
export type GetToken = (refused?: string) => string | Promise<string>;

interface Claims {
  sub?: string;
  tenant?: string;
  exp?: number;
}

/** Return the claims of a JWT, or none if it is malformed, which the hub reports. The signature is not verified. */
export function claims(token: string): Claims {
  try {
    const bytes = atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0)))) as Claims;
  } catch {
    return {};
  }
}

/** Return `tenant/user`. */
export const userOf = (token: string): string => {
  const { tenant = "default", sub = "" } = claims(token);
  return `${tenant}/${sub}`;
};
