/** The base of the console's elements. They render into the page, so they share one style sheet and one set of ids. */
import { LitElement, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { HubError } from "../../packages/client/src/errors";

export class ConsoleElement extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}

/** An element that reads from the hub. Its requests end when it is removed. */
export abstract class LoadingElement extends ConsoleElement {
  static override properties: PropertyDeclarations = { error: { state: true }, loading: { state: true } };

  declare protected error: HubError | undefined;
  declare protected loading: boolean;
  #aborting = new AbortController();

  constructor() {
    super();
    this.loading = true;
  }

  /** Read what the element shows. */
  protected abstract load(signal: AbortSignal): Promise<void>;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.reload();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#aborting.abort();
  }

  /** Read again. Requests of an earlier call are aborted. */
  protected async reload(): Promise<void> {
    this.#aborting.abort();
    const { signal } = (this.#aborting = new AbortController());
    this.loading = true;
    try {
      await this.load(signal);
      if (!signal.aborted) this.error = undefined;
    } catch (error) {
      if (!signal.aborted) this.error = toError(error);
    } finally {
      if (!signal.aborted) this.loading = false;
    }
  }

  protected errorMessage() {
    return this.error ? errorBox(this.error, () => this.reload()) : nothing;
  }
}

/** An element that reads again every `refreshMs`, while the page is visible and nothing is open. */
export abstract class LiveElement extends LoadingElement {
  /** 0 if the element does not refresh. */
  protected readonly refreshMs: number = 5_000;
  #timer = 0;

  /** True while the element must not change, because a dialog is open. */
  protected get busy(): boolean {
    return !!this.querySelector("dialog");
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.refreshMs) this.#timer = window.setInterval(() => void this.#refresh(), this.refreshMs);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  async #refresh(): Promise<void> {
    if (!this.busy && !this.loading && !document.hidden && this.error?.transient !== false) await this.reload();
  }

  /** Return the mark of a page that is live. */
  protected liveMark() {
    return html`<span class="live" title="Refreshed every ${this.refreshMs / 1_000} seconds.">Live</span>`;
  }
}

export function toError(error: unknown): HubError {
  return error instanceof HubError ? error : new HubError((error as Error).message, "INTERNAL_SERVER_ERROR");
}

/** Return a message for an error, with a heading that says what a person can do about it. */
export function errorBox(error: HubError, retry?: () => void): TemplateResult {
  const missing = error.code === "FORBIDDEN";
  return html`<div class="notice ${missing ? "wait" : "bad"}" role="alert">
    <p><b>${missing ? "Your role or scope does not allow this." : "This could not be read."}</b> ${error.message}</p>
    ${missing
      ? html`<p>Sign out, then sign in with another key or token.</p>`
      : retry
        ? html`<button type="button" @click=${retry}>Try again</button>`
        : nothing}
  </div>`;
}

/** Return the placeholder of an empty list. */
export function emptyState(title: string, text: unknown = nothing): TemplateResult {
  return html`<div class="empty"><p><b>${title}</b></p><p>${text}</p></div>`;
}

/** Return the placeholder of a list that is being read. */
export function skeleton(rows = 6): TemplateResult {
  return html`<div class="skeleton" role="status">
    <span class="hidden">Loading…</span>${Array.from({ length: rows }, () => html`<span></span>`)}
  </div>`;
}
