/** How people sign in at the issuer of access tokens. The hub writes it into the page if HUB_CONSOLE_OIDC_CLIENT_ID is set. */

export interface SignInOptions {
  readonly issuer: string;
  readonly clientId: string;
  /** Separated by spaces. */
  readonly scopes: string;
}

const written = document.querySelector<HTMLMetaElement>('meta[name="hub-sign-in"]')?.content;

/** Undefined if people sign in with a token only. */
export const signInOptions = written ? (JSON.parse(written) as SignInOptions) : undefined;

/** True if the issuer has just sent the person back to the console. */
export function comesFromIssuer(): boolean {
  const parameters = new URLSearchParams(location.search);
  return !!signInOptions && parameters.has("state") && (parameters.has("code") || parameters.has("error"));
}
