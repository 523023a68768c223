/** `<hub-preferences>`: a person decides what reaches them and where, and learns why something did. */
import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import type { Hub } from "../hub/connection";
import { devices } from "./devices";
import { dialog } from "./dialogs";
import { Joined } from "./joined";
import { matrix } from "./matrix";
import { mutes } from "./mutes";
import { Explain } from "./operations";
import type { Asked, Section, View } from "./section";
import { styles } from "./styles";
import { Wishes } from "./wishes";

const TOLD_MS = 6_000;
const SECTIONS: Section[] = [matrix, mutes];

/**
 * Beside what `Joined` says: `theme`, as of the inbox; `why`, the id of a notification to explain, and `only-why` for a page that wants nothing but
 * that. An item of `<hub-inbox>` asks by an event `hub-why`, which it hears anywhere on the page.
 */
export class HubPreferences extends Joined {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    why: {},
    onlyWhy: { type: Boolean, attribute: "only-why" },
    theme: { reflect: true },
    asked: { state: true },
    told: { state: true },
    here: { state: true },
  };

  declare why: string | null;
  declare onlyWhy: boolean;
  declare theme: "light" | "dark" | "auto" | null;
  declare protected asked: Asked | undefined;
  declare protected told: string;
  declare protected here: string | undefined;
  #wishes: Wishes | undefined;
  #toldTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.onlyWhy = false;
    this.told = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("hub-why", this.#onWhy);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("hub-why", this.#onWhy);
  }

  /** Opens the dialog that says why a notification came. */
  explain(id: string): Promise<void> {
    this.asked = { kind: "why", id };
    return this.#explain(id);
  }

  protected override entered(hub: Hub): void {
    this.#wishes?.stop();
    const wishes = (this.#wishes = new Wishes(hub));
    wishes.addEventListener("change", () => this.requestUpdate());
    wishes.addEventListener("refused", () => this.#tell(this.phrases.say("notSaved")));
    void wishes.load();
    if (this.asked?.kind === "why" && this.asked.told === undefined) void this.#explain(this.asked.id);
  }

  protected override left(): void {
    this.#wishes?.stop();
    this.#wishes = this.asked = this.here = undefined;
    this.told = "";
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    if (changed.has("why") && this.why) void this.explain(this.why);
  }

  protected override updated(): void {
    const open = this.renderRoot.querySelector<HTMLDialogElement>("dialog:not([open])");
    if (this.asked) open?.showModal();
  }

  protected override render(): TemplateResult {
    const { phrases } = this;
    const say = phrases.say.bind(phrases);
    return html`<div class="all" dir=${phrases.direction} lang=${phrases.locale}>
      ${this.onlyWhy ? nothing : this.#sections(say)}
      ${this.#wishes?.slow ? html`<p class="toast" role="status">${say("waiting")}</p>` : nothing}
      <p class=${this.told ? "toast" : "unseen"} role="status">${this.told}</p>
      ${this.asked && this.#wishes?.matrix
        ? html`<dialog aria-labelledby="asked" @close=${this.#onClose} @click=${this.#onBackdrop}>
            <div class="sheet">${dialog(this.asked, this.#view(say), this.#close)}</div>
          </dialog>`
        : nothing}
    </div>`;
  }

  #sections(say: View["say"]): TemplateResult {
    const wishes = this.#wishes;
    if (this.signedOut) return html`<p class="empty late">${say("signedOut")}</p>`;
    if (!wishes?.matrix) {
      return wishes?.failed
        ? html`<div class="empty" role="alert">
            <p>${say("failed")}</p>
            <button class="button" @click=${() => wishes.load()}>${say("again")}</button>
          </div>`
        : html`<div class="loading" role="status">
            <span class="unseen">${say("loading")}</span>${[1, 2, 3, 4].map(() => html`<i></i>`)}
          </div>`;
    }
    const view = this.#view(say);
    return html`
      ${SECTIONS.map((section) => section(view))}
      <section aria-labelledby="devices">
        <h2 id="devices" tabindex="-1">${say("devices")}</h2>
        <hub-push
          .endpoint=${this.endpoint}
          .token=${this.token}
          .getToken=${this.getToken}
          .locale=${this.locale}
          .worker=${this.worker}
          @hub-push=${this.#onPush}
        ></hub-push>
        ${devices(view)}
      </section>`;
  }

  #view(say: View["say"]): View {
    const wishes = this.#wishes!;
    return {
      matrix: wishes.matrix!,
      devices: wishes.devices,
      wishes,
      phrases: this.phrases,
      say,
      open: (asked) => (this.asked = asked),
      tell: (words) => this.#tell(words),
      focus: (heading) => void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>(`#${heading}`)?.focus()),
      here: this.here,
    };
  }

  async #explain(id: string): Promise<void> {
    const { hub } = this;
    if (!hub) return; // once there is one, it is asked
    let told = null;
    try {
      told = (await hub.query(Explain, { id })).notification;
    } catch (error) {
      console.warn("hub: why", error);
    }
    if (this.asked?.kind === "why" && this.asked.id === id) this.asked = { kind: "why", id, told };
  }

  readonly #close = (): void => {
    this.renderRoot.querySelector("dialog")?.close(); // it gives the focus back to where it was
    this.asked = undefined;
    this.why = null;
  };

  /** Told a moment later: it may be open again, for another question. */
  readonly #onClose = ({ target }: Event): void => {
    if (!(target as HTMLDialogElement).open) this.#close();
  };

  readonly #onBackdrop = ({ target, currentTarget }: Event): void => {
    if (target === currentTarget) this.#close();
  };

  readonly #onWhy = (event: Event): void => {
    event.preventDefault();
    void this.explain((event as CustomEvent<{ id: string }>).detail.id);
  };

  readonly #onPush = ({ detail }: CustomEvent<{ device?: string }>): void => {
    if (detail.device === this.here) return;
    this.here = detail.device;
    void this.#wishes?.load();
  };

  #tell(words: string): void {
    this.told = words;
    clearTimeout(this.#toldTimer);
    this.#toldTimer = setTimeout(() => (this.told = ""), TOLD_MS);
  }
}
