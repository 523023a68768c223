/** The people, the send, and the delivery that a text names. A single result is opened at once. */
import { html } from "lit";
import { emptyState, LoadingElement, skeleton } from "./element";
import { find, type Result } from "./find";
import { pageHeading } from "./parts";
import { navigate } from "./router";

class FindPage extends LoadingElement {
  static override properties = { params: { attribute: false }, found: { state: true } };

  declare params: URLSearchParams;
  declare private found: readonly Result[] | undefined;

  private get text(): string {
    return (this.params.get("q") ?? "").trim();
  }

  override updated(changed: Map<string, unknown>): void {
    if (changed.get("params")) void this.reload();
  }

  protected async load(signal: AbortSignal): Promise<void> {
    this.found = undefined;
    if (!this.text) return;
    const found = await find(this.text, signal);
    const [only, ...others] = found;
    if (only && !others.length && !signal.aborted) navigate(only.to, { replace: true });
    else this.found = found;
  }

  override render() {
    return html`${pageHeading(this.text ? html`Results for “<bdi>${this.text}</bdi>”` : "Find")}
    ${this.error ? this.errorMessage() : !this.text ? HELP : this.found ? this.results(this.found) : skeleton(3)}`;
  }

  private results(results: readonly Result[]) {
    if (!results.length) return emptyState("Nothing was found.", HELP);
    return html`<ul class="results">
      ${results.map(
        ({ kind, title, detail, to }) => html`<li data-row>
          <span class="kind">${kind}</span>
          <a data-main href=${to}><bdi>${title}</bdi></a>
          <span class="quiet"><bdi>${detail}</bdi></span>
        </li>`,
      )}
    </ul>`;
  }
}

const HELP = html`Find a person by the id, name, email address, or phone number; a send by the id, idempotency key, or
words of the title; and a delivery by the id, the Message-ID, or the id that the provider assigned.`;

customElements.define("find-page", FindPage);
