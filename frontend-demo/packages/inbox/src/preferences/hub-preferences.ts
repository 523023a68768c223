/** `<hub-preferences>`: the categories, channels, topics, and quiet times of a user, and the reasons for a notification. */
import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import type { HubConnection } from "../../../client/src/connection";
import { ConnectedElement } from "../connected-element";
import { PreferencesI18n, type Messages } from "../locales/preferences";
import { pageLocale } from "../page";
import { chatsOf, isChat } from "./chats";
import { collect } from "./collect";
import { devices } from "./devices";
import { renderDialog } from "./dialogs";
import { matrix } from "./matrix";
import { mutes } from "./mutes";
import { quiet } from "./quiet";
import { ExplainNotification, type Channel, type Explanation } from "../../../client/src/preferences/operations";
import { PreferencesStore, type Refusal } from "../../../client/src/preferences/preferences-store";
import { withoutUnreachable } from "./reach";
import { styles } from "./styles";
import { topics } from "./topics";
import type { DialogState, Section, SectionProps } from "./types";

const MESSAGE_MS = 6_000;
const SECTIONS: Section[] = [matrix, mutes, topics, collect, quiet];

/**
 * Attributes in addition to those of `ConnectedElement`: `worker`, the path of the service worker on this origin;
 * `theme`, as in `<hub-inbox>`; `why`, the id of a notification to explain; and `only-why`, to show only that dialog.
 * The event `hub-why` of an item in `<hub-inbox>` also opens the dialog. Dispatches the cancelable event `hub-add-address`
 * with `{ channel }` when the user wants to add an address for a channel.
 */
export class HubPreferences extends ConnectedElement<Messages> {
  static override styles = styles;
  static override properties: PropertyDeclarations = {
    worker: {},
    why: {},
    onlyWhy: { type: Boolean, attribute: "only-why" },
    theme: { reflect: true },
    dialog: { state: true },
    statusMessage: { state: true },
    thisDevice: { state: true },
    open: { state: true },
  };

  declare worker: string;
  declare protected i18n: PreferencesI18n;
  declare why: string | null;
  declare onlyWhy: boolean;
  declare theme: "light" | "dark" | "auto" | null;
  declare protected dialog: DialogState | undefined;
  declare protected statusMessage: string;
  declare protected thisDevice: string | undefined;
  /** The keys of the categories whose rows are open on a narrow page. */
  declare protected open: ReadonlySet<string>;
  #store: PreferencesStore | undefined;
  /** The focused element before an update, which may replace it, and its cell. */
  #focused: Element | null | undefined;
  #focusedCell: Element | null | undefined;
  #messageTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.worker = "/sw.js";
    this.onlyWhy = false;
    this.statusMessage = "";
    this.open = new Set();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("hub-why", this.#onWhy);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("hub-why", this.#onWhy);
  }

  /** Open the dialog "Why did I get this?" for a notification. */
  explain(id: string): Promise<void> {
    this.dialog = { kind: "why", id };
    return this.#loadExplanation(id);
  }

  /** Load the preferences again, for example after the user has added an address. Resolve to false on failure. */
  async reload(): Promise<boolean> {
    return (await this.#store?.load()) ?? false;
  }

  protected override createI18n(): PreferencesI18n {
    return new PreferencesI18n(this.locale || pageLocale());
  }

  protected override onConnect(hub: HubConnection): void {
    this.#store?.stop();
    const store = (this.#store = new PreferencesStore(hub));
    store.addEventListener("change", () => this.requestUpdate());
    store.addEventListener("refused", (event) => this.#showMessage(this.i18n.t((event as CustomEvent<Refusal>).detail)));
    void store.load();
    if (this.dialog?.kind === "why" && this.dialog.explanation === undefined) void this.#loadExplanation(this.dialog.id);
  }

  protected override onDisconnect(): void {
    this.#store?.stop();
    this.#store = this.dialog = this.thisDevice = undefined;
    this.open = new Set();
    this.statusMessage = "";
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    if (changed.has("why") && this.why) void this.explain(this.why);
    this.#focused = this.shadowRoot?.activeElement;
    this.#focusedCell = this.#focused?.closest("td");
  }

  protected override updated(): void {
    const closed = this.renderRoot.querySelector<HTMLDialogElement>("dialog:not([open])");
    if (this.dialog) closed?.showModal();
    if (this.#focused && !this.#focused.isConnected) this.#focusedCell?.querySelector("button")?.focus();
  }

  protected override render(): TemplateResult {
    const { i18n } = this;
    return html`<div class="all" dir=${i18n.dir} lang=${i18n.locale}>
      ${this.onlyWhy ? nothing : this.#sections()}
      ${this.#store?.slow ? html`<p class="toast" role="status">${i18n.t("waiting")}</p>` : nothing}
      <p class=${this.statusMessage ? "toast" : "hidden"} role="status">${this.statusMessage}</p>
      ${this.dialog && this.#store?.matrix
        ? html`<dialog aria-labelledby="dialog-title" @close=${this.#onClose} @click=${this.#onBackdrop}>
            <div class="sheet">${renderDialog(this.dialog, this.#sectionProps(), this.#close)}</div>
          </dialog>`
        : nothing}
    </div>`;
  }

  #sections(): TemplateResult {
    const { i18n } = this;
    const store = this.#store;
    if (this.status === "refused") return html`<p class="empty delayed">${i18n.t("signedOut")}</p>`;
    if (!store?.matrix) {
      return store?.failed
        ? html`<div class="empty" role="alert">
            <p>${i18n.t("failed")}</p>
            <button class="button" @click=${() => store.load()}>${i18n.t("again")}</button>
          </div>`
        : html`<div class="loading" role="status">
            <span class="hidden">${i18n.t("loading")}</span>${[1, 2, 3, 4].map(() => html`<i></i>`)}
          </div>`;
    }
    const props = this.#sectionProps();
    return html`
      ${SECTIONS.map((section) => section(props))}
      <section aria-labelledby="devices">
        <h2 id="devices" tabindex="-1">${i18n.t("devices")}</h2>
        <hub-push
          .endpoint=${this.endpoint}
          .token=${this.token}
          .getToken=${this.getToken}
          .locale=${this.locale}
          .worker=${this.worker}
          @hub-push=${this.#onPush}
        ></hub-push>
        ${devices(props)}
      </section>`;
  }

  #sectionProps(): SectionProps {
    const { i18n } = this;
    const store = this.#store!;
    return {
      matrix: withoutUnreachable(store.matrix!),
      devices: store.devices,
      chats: chatsOf(store.matrix!),
      topics: store.topics,
      timezone: store.timezone,
      store,
      i18n,
      t: i18n.t.bind(i18n),
      now: this.now(),
      openDialog: (dialog) => (this.dialog = dialog),
      reopenDialog: (dialog) => {
        if (this.dialog) return;
        this.dialog = dialog;
        this.statusMessage = ""; // the dialog shows the reason
      },
      isOpen: (key) => this.open.has(key),
      toggle: (key) => {
        const open = new Set(this.open);
        this.open = open.delete(key) ? open : open.add(key);
      },
      addAddress: (channel) => this.#addAddress(channel),
      showMessage: (text) => this.#showMessage(text),
      focusHeading: (id) => void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>(`#${id}`)?.focus()),
      thisDevice: this.thisDevice,
    };
  }

  #addAddress(channel: Channel): void {
    const event = new CustomEvent("hub-add-address", { detail: { channel }, bubbles: true, composed: true, cancelable: true });
    if (!this.dispatchEvent(event)) return;
    if (channel === "WEB_PUSH") this.renderRoot.querySelector<HTMLElement>("hub-push")?.focus();
    else if (isChat(channel)) this.dialog = { kind: "chat", chat: channel };
    else this.#showMessage(this.i18n.label(`ADD_${channel}`));
  }

  async #loadExplanation(id: string): Promise<void> {
    const { hub } = this;
    if (!hub) return; // loaded by onConnect
    let explanation: Explanation | null = null;
    try {
      explanation = (await hub.query(ExplainNotification, { id })).notification;
    } catch (error) {
      console.warn("hub: cannot explain the notification", error);
    }
    if (this.dialog?.kind === "why" && this.dialog.id === id) this.dialog = { kind: "why", id, explanation };
  }

  readonly #close = (): void => {
    const { dialog } = this;
    this.renderRoot.querySelector("dialog")?.close(); // restores the focus
    this.dialog = undefined;
    this.why = null;
    if (dialog?.kind !== "why") return;
    const detail = { id: dialog.id };
    this.dispatchEvent(new CustomEvent("hub-why-closed", { detail, bubbles: true, composed: true }));
  };

  /** The event is dispatched after a delay, when the dialog may already be open for another notification. */
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
    if (detail.device === this.thisDevice) return;
    this.thisDevice = detail.device;
    void this.#store?.load();
  };

  #showMessage(text: string): void {
    this.statusMessage = text;
    clearTimeout(this.#messageTimer);
    this.#messageTimer = setTimeout(() => (this.statusMessage = ""), MESSAGE_MS);
  }
}
