/** The form for a service key or an access token, and the button that opens the issuer. */
import { html, nothing } from "lit";
import { refusal } from "./client";
import { ConsoleElement, toError } from "./element";
import { session } from "./session";
import { signInOptions, type SignInOptions } from "./sign-in-options";

class SignIn extends ConsoleElement {
  static override properties = { message: { state: true }, checking: { state: true } };

  declare private message: string;
  declare private checking: boolean;

  constructor() {
    super();
    this.message = session.message;
    this.checking = false;
  }

  override firstUpdated(): void {
    this.querySelector<HTMLElement>(signInOptions ? "button" : "input")?.focus();
  }

  override render() {
    return html`<main class="sign-in" id="main">
      <form class="card" @submit=${this.onSubmit}>
        <h1>Sign in to the console</h1>
        ${this.message ? html`<p class="notice bad" role="alert">${this.message}</p>` : nothing}
        ${signInOptions ? this.issuer(signInOptions) : nothing}
        <label class="stacked"
          >Service key or access token
          <input type="password" name="token" required autocomplete="off" spellcheck="false" aria-describedby="hint"
        /></label>
        <p class="quiet small" id="hint">
          It needs the role viewer, support, operator, service, or admin. It is kept in this tab only, until you sign out or close the tab.
        </p>
        <button class=${signInOptions ? "" : "main"} type="submit" ?disabled=${this.checking}>${this.checking ? "Checking…" : "Sign in"}</button>
        <p class="quiet small">On the hub's machine, <code>hub console</code> prints a link that signs you in.</p>
      </form>
    </main>`;
  }

  private issuer(options: SignInOptions) {
    const start = async (): Promise<void> => {
      const { startSignIn, signInError } = await import("./issuer");
      await startSignIn(options).catch((error: unknown) => (this.message = signInError(error)));
    };
    return html`<button class="main" type="button" @click=${start}>Sign in with ${new URL(options.issuer).host}</button>
      <p class="divider quiet small">or</p>`;
  }

  private async onSubmit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const field = this.querySelector("input");
    const token = field?.value.trim() ?? "";
    this.checking = true;
    try {
      this.message = await refusal(token);
    } catch (error) {
      this.message = toError(error).message;
    }
    this.checking = false;
    if (this.message) field?.focus();
    else session.signIn(token);
  }
}

customElements.define("sign-in", SignIn);
