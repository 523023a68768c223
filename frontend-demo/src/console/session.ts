/**
 * The token of this tab. It is kept in session storage, comes from the sign-in form, from the issuer, or from the fragment
 * of a link (`/console/#token=...`), and in development from the hub itself.
 */
import { claims } from "../../packages/client/src/token";
import { getDemoToken } from "../demo/tokens";
import { comesFromIssuer, signInOptions } from "./sign-in-options";

const KEY = "hub-console-token";
const DEVELOPMENT = "development";
const SIGNED_OUT = "signed out";

/** Dispatches `change` when the tab signs in or out. */
class Session extends EventTarget {
  /** A message for the sign-in page, such as the reason that the session ended. */
  message = "";
  #token = "";
  /** Renews the token. It is kept until the page is loaded again. */
  #refresh = "";
  #renewing: Promise<string> | undefined;

  /** True if the tab has a token. */
  get signedIn(): boolean {
    return this.#token !== "";
  }

  /** The caller that the token names, for display: a role, a user, or the kind of credential. */
  get caller(): string {
    if (this.#token === DEVELOPMENT) return "admin of this development hub";
    const { sub, role } = claims(this.#token) as { sub?: string; role?: string };
    return role ? [sub, role].filter(Boolean).join(", ") : "service key";
  }

  /** The role of the token. Empty for a service key. */
  get role(): string {
    return this.#token === DEVELOPMENT ? "admin" : ((claims(this.#token) as { role?: string }).role ?? "");
  }

  /** Read the token from the fragment, the issuer, session storage, or a development hub. */
  async restore(): Promise<void> {
    if (this.takeFragment()) return;
    if (comesFromIssuer()) return this.#takeCode();
    const stored = sessionStorage.getItem(KEY) ?? "";
    if (stored === SIGNED_OUT) return;
    if (stored && stored !== DEVELOPMENT) return this.#set(stored);
    try {
      await getDemoToken("admin");
      this.#set(DEVELOPMENT);
    } catch {
      sessionStorage.removeItem(KEY); // not a development hub
    }
  }

  /** Use and remove the token in the fragment. Return false if there is none. */
  takeFragment(): boolean {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!token) return false;
    history.replaceState(history.state, "", location.pathname + location.search);
    this.#set(token);
    return true;
  }

  signIn(token: string): void {
    this.#set(token);
  }

  signOut(message = ""): void {
    this.message = message;
    this.#token = "";
    this.#refresh = "";
    sessionStorage.setItem(KEY, SIGNED_OUT);
    this.dispatchEvent(new Event("change"));
  }

  /** Return a token. `refused` is the token that the hub rejected. Resolves to "" if no other token exists. */
  async token(refused?: string): Promise<string> {
    if (this.#token === DEVELOPMENT) return getDemoToken("admin", refused);
    if (this.#token !== refused) return this.#token;
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  /** Return a new token of the issuer, or "" if it returned no refresh token. */
  async #renew(): Promise<string> {
    if (!this.#refresh || !signInOptions) return "";
    const { renew } = await import("./issuer");
    const { access, refresh } = await renew(signInOptions, this.#refresh);
    this.#set(access, refresh);
    return access;
  }

  async #takeCode(): Promise<void> {
    if (!signInOptions) return;
    const { finishSignIn, signInError } = await import("./issuer");
    try {
      const { access, refresh } = await finishSignIn(signInOptions);
      this.#set(access, refresh);
    } catch (error) {
      this.signOut(signInError(error));
    }
  }

  #set(token: string, refresh = ""): void {
    this.message = "";
    this.#token = token;
    this.#refresh = refresh;
    sessionStorage.setItem(KEY, token);
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
