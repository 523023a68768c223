/** The frame of the console: header, navigation, and the page that the address names. */
import { html, nothing, type TemplateResult } from "lit";
import { keyed } from "lit/directives/keyed.js";
import "./audit-page";
import "./deliveries-page";
import "./delivery-page";
import { ConsoleElement, emptyState } from "./element";
import "./find-box";
import "./find-page";
import { listenToKeys } from "./keyboard";
import { lazyPage, lazyPageName } from "./lazy-pages";
import { morePage, navigation } from "./navigation";
import { pageHeading } from "./parts";
import "./overview-page";
import "./person-page";
import "./queue-page";
import { address, currentRoute, interceptLinks, type Route } from "./router";
import "./send-page";
import "./sends-page";
import { session } from "./session";
import "./sign-in";

/** The names of the pages, for the title of the window. */
const NAMES: Record<string, string> = { "": "Overview", find: "Find", users: "Person", deliveries: "Deliveries",
  sends: "Sends", queue: "Queue and providers", audit: "Audit log",
  more: "All pages" };

class ConsoleApp extends ConsoleElement {
  static override properties = { route: { state: true }, help: { state: true }, ready: { state: true }, notLoaded: { state: true } };

  declare private route: Route;
  declare private help: boolean;
  declare private ready: boolean;
  /** True if the code of a page could not be loaded, for example because the hub has a new version. */
  declare private notLoaded: boolean;

  constructor() {
    super();
    this.route = currentRoute();
    this.ready = false;
  }

  override async connectedCallback(): Promise<void> {
    super.connectedCallback();
    interceptLinks();
    listenToKeys({ find: () => this.focusFind(), help: () => (this.help = session.signedIn) });
    addEventListener("navigated", () => void this.onNavigated());
    addEventListener("hashchange", () => session.takeFragment());
    session.addEventListener("change", () => this.requestUpdate());
    await session.restore();
    this.route = currentRoute(); // the issuer sends people back to the first page
    this.ready = true;
  }

  override render() {
    if (!this.ready) return nothing;
    if (!session.signedIn) return html`${HEADER_SIGNED_OUT}<sign-in></sign-in>`;
    const { page, id } = this.route;
    return html`<a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <a class="brand" aria-label="Notification hub" href=${address()}>${MARK}<span>Notification hub</span></a>
        <find-box .text=${this.route.page === "find" ? (this.route.params.get("q") ?? "") : ""}></find-box>
        <div class="account">
          <span class="quiet small" title="Signed in as ${session.caller}">${session.caller}</span>
          ${session.role === "viewer" ? html`<span class="badge quiet" title="The role viewer sees no personal data and no content.">masked</span>` : nothing}
          <button class="plain" type="button" @click=${() => (this.help = true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">?</button>
          <button class="plain" type="button" @click=${() => session.signOut()}>Sign out</button>
        </div>
      </header>
      ${navigation(page)}
      <main id="main" tabindex="-1" aria-label=${this.name}>${this.notLoaded ? NOT_LOADED : keyed(`${page}/${id}`, this.page())}</main>
      ${this.help ? html`<shortcut-help @close=${() => (this.help = false)}></shortcut-help>` : nothing}`;
  }

  private focusFind(): void {
    const box = this.querySelector<HTMLInputElement>("#find");
    box?.focus();
    box?.select();
  }

  private page(): TemplateResult {
    const { page, id, params } = this.route;
    if (page === "" && !id) return html`<overview-page .params=${params}></overview-page>`;
    if (page === "find") return html`<find-page .params=${params}></find-page>`;
    if (page === "users" && id) return html`<person-page .itemId=${id}></person-page>`;
    if (page === "deliveries" && id) return html`<delivery-page .itemId=${id}></delivery-page>`;
    if (page === "deliveries") return html`<deliveries-page .params=${params}></deliveries-page>`;
    if (page === "sends") return id ? html`<send-page .itemId=${id} .params=${params}></send-page>` : html`<sends-page .params=${params}></sends-page>`;
    if (page === "queue" && !id) return html`<queue-page></queue-page>`;
    if (page === "audit" && !id) return html`<audit-page .params=${params}></audit-page>`;
    if (page === "more" && !id) return morePage();
    const lazy = lazyPage(this.route, () => this.requestUpdate(), () => (this.notLoaded = true));
    if (lazy) return lazy;
    return html`${pageHeading("This page does not exist")}
    ${emptyState("The address may be incomplete.", html`<a href=${address()}>Open the first page</a>`)}`;
  }

  /** Show the page of the new address. The focus moves to the content of another page. */
  private async onNavigated(): Promise<void> {
    const before = this.route;
    this.route = currentRoute();
    this.notLoaded = false;
    if (before.page === this.route.page && before.id === this.route.id) return;
    await this.updateComplete;
    scrollTo(0, 0);
    this.querySelector("main")?.focus({ preventScroll: true });
  }

  private get name(): string {
    const { page, id, params } = this.route;
    const name = NAMES[page] ?? lazyPageName(page) ?? "Console";
    return [name, id || params.get("q")].filter(Boolean).join(" ");
  }

  override updated(): void {
    document.title = `${session.signedIn ? this.name : "Sign in"} · Notification hub`;
  }
}

const MARK = html`<svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="9" fill="#4f46e5" />
  <path d="M16 7a6 6 0 0 0-6 6v4l-2 4h16l-2-4v-4a6 6 0 0 0-6-6Zm-3 16a3 3 0 0 0 6 0" fill="none" stroke="#fff" stroke-width="2" stroke-linejoin="round" />
</svg>`;
const NOT_LOADED = html`<div class="notice bad" role="alert">
  <p><b>This page could not be loaded.</b> The hub may have a new version, or the connection was lost.</p>
  <button type="button" @click=${() => location.reload()}>Reload</button>
</div>`;
const HEADER_SIGNED_OUT = html`<header class="top"><span class="brand">${MARK}<span>Notification hub</span></span></header>`;

customElements.define("console-app", ConsoleApp);
