/** The box in the header: shows what a text finds while it is typed. Enter opens the chosen result, or all results. */
import { html, nothing } from "lit";
import { ConsoleElement } from "./element";
import { find, type Result } from "./find";
import { icon } from "./parts";
import { address, navigate } from "./router";

const TYPING_MS = 200; // a pause after which the text is looked up
const SHOWN_MAX = 6;

class FindBox extends ConsoleElement {
  static override properties = { text: {}, results: { state: true }, chosen: { state: true } };

  declare text: string;
  declare private results: readonly Result[];
  /** The index of the chosen result, or -1. */
  declare private chosen: number;
  private timer = 0;
  private request = new AbortController();

  constructor() {
    super();
    this.text = "";
    this.results = [];
    this.chosen = -1;
  }

  override render() {
    const isOpen = this.results.length > 0;
    return html`<form class="find" role="search" @submit=${this.onSubmit} @focusout=${this.onFocusOut}>
      ${icon("M8 13.25A5.25 5.25 0 1 0 8 2.75a5.25 5.25 0 0 0 0 10.5Zm3.75-1.5 3.5 3.5")}
      <input
        id="find"
        name="q"
        type="text"
        enterkeyhint="search"
        role="combobox"
        autocomplete="off"
        spellcheck="false"
        aria-label="Find a person, a send, or a delivery"
        aria-expanded=${isOpen ? "true" : "false"}
        aria-controls="found"
        aria-autocomplete="list"
        aria-activedescendant=${this.chosen < 0 ? nothing : `found-${this.chosen}`}
        placeholder="Find a person, a send, or a delivery"
        .value=${this.text}
        @input=${this.onInput}
        @keydown=${this.onKey}
      />
      <kbd aria-hidden="true">/</kbd>
      <ul id="found" role="listbox" aria-label="Results" ?hidden=${!isOpen}>
        ${this.results.map(
          ({ kind, title, detail, to }, index) => html`<li
            id=${`found-${index}`}
            role="option"
            aria-selected=${index === this.chosen ? "true" : "false"}
            @mousedown=${(event: Event) => event.preventDefault()}
            @click=${() => this.open(to)}
          >
            <span class="kind">${kind}</span> <b><bdi>${title}</bdi></b> <span class="quiet"><bdi>${detail}</bdi></span>
          </li>`,
        )}
      </ul>
    </form>`;
  }

  private readonly onInput = (event: Event): void => {
    const text = (event.target as HTMLInputElement).value.trim();
    this.stop();
    if (text) this.timer = window.setTimeout(() => void this.lookUp(text), TYPING_MS);
  };

  private async lookUp(text: string): Promise<void> {
    const { signal } = (this.request = new AbortController());
    const found = await find(text, signal).catch(() => undefined); // the page with all results shows errors
    if (found && !signal.aborted) this.results = found.slice(0, SHOWN_MAX);
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.results.length) {
      event.preventDefault();
      const positions = this.results.length + 1; // the first is the text itself
      this.chosen = ((this.chosen + 1 + step + positions) % positions) - 1;
    } else if (event.key === "Escape" && this.results.length) {
      event.preventDefault();
      this.stop();
    }
  };

  private readonly onSubmit = (event: SubmitEvent): void => {
    event.preventDefault();
    const text = String(new FormData(event.target as HTMLFormElement).get("q")).trim();
    const chosen = this.results[this.chosen];
    if (chosen || text) this.open(chosen?.to ?? address("find", "", { q: text }));
  };

  private readonly onFocusOut = (): void => this.stop();

  private open(to: string): void {
    this.stop();
    navigate(to);
  }

  /** Close the list, and end the look-up. */
  private stop(): void {
    clearTimeout(this.timer);
    this.request.abort();
    this.results = [];
    this.chosen = -1;
  }
}

customElements.define("find-box", FindBox);
