/** Sign-in at the issuer of access tokens: OpenID Connect, authorization code flow with PKCE (RFC 7636). */
import * as oauth from "oauth4webapi";
import { BASE } from "./router";
import type { SignInOptions } from "./sign-in-options";

const KEY = "hub-console-sign-in";
const NOT_SECURE = "Open the console with HTTPS to sign in there.";
const OTHER_TAB = "This sign-in was not started in this tab. Sign in again.";

/** What is kept while the person is at the issuer. */
interface Pending {
  readonly state: string;
  readonly verifier: string;
  /** The page of the console that was open. */
  readonly returnTo: string;
}

export interface Tokens {
  readonly access: string;
  /** Empty if the issuer returns none. */
  readonly refresh: string;
}

/** Open the page of the issuer. */
export async function startSignIn(options: SignInOptions): Promise<void> {
  if (!isSecureContext) throw new Error(NOT_SECURE);
  const { authorization_endpoint: endpoint } = await discover(options);
  if (!endpoint || !/^https?:/.test(endpoint)) throw new Error("The issuer publishes no authorization endpoint.");
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const pending: Pending = { state, verifier, returnTo: location.pathname + location.search };
  sessionStorage.setItem(KEY, JSON.stringify(pending));
  const url = new URL(endpoint);
  const parameters = {
    response_type: "code", client_id: options.clientId, redirect_uri: redirectUri(), scope: options.scopes, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Exchange the code in the address for tokens, and show the page that was open before. */
export async function finishSignIn(options: SignInOptions): Promise<Tokens> {
  const address = new URL(location.href);
  const pending = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Pending | null;
  sessionStorage.removeItem(KEY);
  history.replaceState(null, "", pending?.returnTo ?? `${BASE}/`); // a code is used once
  if (!pending) throw new Error(OTHER_TAB);
  const server = await discover(options);
  const client = { client_id: options.clientId };
  const parameters = oauth.validateAuthResponse(server, client, address, pending.state);
  const response = await oauth.authorizationCodeGrantRequest(
    server, client, oauth.None(), parameters, redirectUri(), pending.verifier, transport(options),
  );
  return tokensOf(await oauth.processAuthorizationCodeResponse(server, client, response));
}

/** Return new tokens. */
export async function renew(options: SignInOptions, refresh: string): Promise<Tokens> {
  const server = await discover(options);
  const client = { client_id: options.clientId };
  const response = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refresh, transport(options));
  const tokens = tokensOf(await oauth.processRefreshTokenResponse(server, client, response));
  return { ...tokens, refresh: tokens.refresh || refresh };
}

/** Return what an error of the issuer says, for people. */
export function signInError(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError)
    return `The issuer refused the sign-in: ${error.error_description ?? error.error}`;
  return `The sign-in failed: ${error instanceof Error ? error.message : String(error)}`;
}

async function discover(options: SignInOptions): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(options.issuer);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...transport(options) }));
}

/** The settings of the hub allow an issuer without TLS only on the same machine. */
const transport = ({ issuer }: SignInOptions) => ({ [oauth.allowInsecureRequests]: issuer.startsWith("http:") });

const tokensOf = ({ access_token: access, refresh_token: refresh }: oauth.TokenEndpointResponse): Tokens => ({ access, refresh: refresh ?? "" });

/** The issuer must have this address among those of the client. */
const redirectUri = (): string => `${location.origin}${BASE}/`;
