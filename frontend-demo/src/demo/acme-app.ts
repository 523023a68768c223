/**
 * Acme, a sample app that embeds the bell and the preferences: `/app?user=alice&device=phone&locale=en`.
 *
 * Notifications link to routes under `/app/`. The app shows the routes without leaving the page. If a link is opened
 * elsewhere, such as in an email, the app starts with that route.
 */
import { LitElement, css, html, nothing, svg } from "lit";
import { ISSUES, parseRoute, type Issue } from "./acme-data";
import { sharedStyles } from "./shared-styles";
import { getDemoToken, type DemoRole } from "./tokens";

const query = new URLSearchParams(location.search);
const USER: DemoRole = query.get("user") === "bob" ? "bob" : "alice";
const DEVICE = `${USER}'s ${query.get("device") ?? "browser"}`; // makes the landmarks of two devices on one page distinct
const LOCALE = /^[a-z]{2}$/.exec(query.get("locale") ?? "")?.[0] ?? "en";
const STATES = { open: "Open", doing: "In progress", done: "Done" } as const;
const HOME = "/app";
const HEADER_PX = 72;
const INBOX = `${HOME}/inbox`;
const SETTINGS = `${HOME}/settings`;
const TABS = [
  "ACTIVE",
  "UNREAD",
  { label: "Reviews", filter: { categories: ["reviews"] } },
  { label: "Deploys", filter: { categories: ["deploys"] } },
  "ARCHIVED",
  "SNOOZED",
];

const getToken = (refused?: string) => getDemoToken(USER, refused);

class AcmeApp extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        --brand: light-dark(#0f766e, #5eead4);
        min-height: 100vh;
        background: var(--card);
      }
      header {
        position: sticky;
        inset-block-start: 0;
        z-index: 1;
        display: flex;
        align-items: center;
        gap: 6px;
        min-height: 56px;
        padding: 0 16px;
        border-bottom: 1px solid var(--line);
        background: var(--card);
      }
      .brand {
        display: flex;
        align-items: center;
        gap: 9px;
        margin-inline-end: auto;
        color: inherit;
        font-weight: 700;
        letter-spacing: -0.01em;
        text-decoration: none;
      }
      .face {
        display: grid;
        place-items: center;
        width: 28px;
        height: 28px;
        border-radius: 50%;
        background: var(--accent-soft);
        color: var(--accent);
        font-size: 0.75rem;
        font-weight: 700;
      }
      .face.bob {
        background: var(--wait-soft);
        color: var(--wait);
      }
      nav {
        display: flex;
        gap: 16px;
        padding: 0 16px;
        border-bottom: 1px solid var(--line);
        font-size: 0.875rem;
      }
      nav a {
        padding: 9px 0 8px;
        border-bottom: 2px solid transparent;
        color: var(--quiet);
        font-weight: 600;
        text-decoration: none;
      }
      nav a[aria-current] {
        border-color: var(--brand);
        color: var(--text);
      }
      main {
        max-width: 860px;
        margin: 0 auto;
        padding: 16px;
      }
      h1 {
        margin: 0 0 12px;
        font-size: 1.125rem;
        letter-spacing: -0.01em;
      }
      ul {
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: 18px minmax(0, 1fr) auto auto;
        align-items: center;
        gap: 10px;
        min-height: 48px;
        border-bottom: 1px solid var(--line);
      }
      li .title {
        display: grid;
        justify-content: start;
      }
      li .title span {
        overflow: hidden;
        white-space: nowrap;
        text-overflow: ellipsis;
      }
      li .small {
        display: block;
      }
      .open {
        color: var(--quiet);
      }
      .doing {
        color: var(--wait);
      }
      .done {
        color: var(--good);
      }
      .linked {
        padding: 20px;
        border: 1px solid var(--line);
        border-radius: 12px;
        background: var(--sunk);
      }
      .linked p {
        margin: 0 0 12px;
        color: var(--quiet);
      }
      svg {
        flex: none;
        display: block;
      }
    `,
  ];
  static override properties = { path: { state: true } };

  declare private path: string;

  constructor() {
    super();
    this.path = location.pathname;
    this.addEventListener("click", this.followLink);
  }

  protected override firstUpdated(): void {
    if (location.hash) this.scrollToSection(location.hash);
  }

  /** Scroll to a section of the preferences when it has loaded. `scrollIntoView` would also scroll the demo page. */
  private scrollToSection(hash: string, attempts = 50): void {
    const heading = this.renderRoot.querySelector("hub-preferences")?.shadowRoot?.getElementById(hash.slice(1));
    if (heading) scrollTo({ top: heading.getBoundingClientRect().top + scrollY - HEADER_PX });
    else if (attempts) setTimeout(() => this.scrollToSection(hash, attempts - 1), 100);
  }

  override render() {
    const settings = this.path === SETTINGS;
    const inbox = this.path === INBOX;
    const home = ["/", HOME, `${HOME}/`].includes(this.path);
    return html`
      <header aria-label="Acme on ${DEVICE}">
        <a class="brand" href=${HOME}>${MARK} Acme</a>
        <hub-inbox
          endpoint="/graphql"
          locale=${LOCALE}
          .getToken=${getToken}
          @hub-open=${this.openInApp}
          @hub-action=${this.openInApp}
        ></hub-inbox>
        <span class="face ${USER}" role="img" aria-label="Signed in as ${USER}">${USER.charAt(0).toUpperCase()}</span>
      </header>
      <nav aria-label="Pages on ${DEVICE}">
        <a href=${HOME} aria-current=${settings || inbox ? nothing : "page"}>Issues</a>
        <a href=${INBOX} aria-current=${inbox ? "page" : nothing}>Inbox</a>
        <a href=${SETTINGS} aria-current=${settings ? "page" : nothing}>Notifications</a>
      </nav>
      <main aria-label=${DEVICE}>
        ${settings ? html`<h1>Notifications</h1>` : inbox ? this.inboxPage() : home ? this.issues() : this.linkedPage()}
        <hub-preferences
          endpoint="/graphql"
          locale=${LOCALE}
          ?only-why=${!settings}
          .getToken=${getToken}
        ></hub-preferences>
      </main>
    `;
  }

  private issues() {
    return html`
      <h1>Issues</h1>
      <ul>
        ${ISSUES.map(
          ({ key, title, state, label, assignee }) => html`
            <li>
              ${stateIcon(state)}
              <span>
                <span class="title"><span dir="auto">${title}</span></span>
                <span class="small quiet">${key} · ${label}</span>
              </span>
              <span class="badge">${STATES[state]}</span>
              <span class="face ${assignee}" role="img" aria-label="Assigned to ${assignee}">${assignee.charAt(0).toUpperCase()}</span>
            </li>
          `,
        )}
      </ul>
    `;
  }

  private linkedPage() {
    const { kind, name } = parseRoute(this.path.replace(HOME, ""));
    return html`
      <h1>${kind} ${name}</h1>
      <div class="linked">
        <p>This is the page that the notification links to. A real app would show ${kind.toLowerCase()} ${name} here.</p>
        <a href=${HOME}>All issues</a>
      </div>
    `;
  }

  private inboxPage() {
    return html`<hub-inbox-list
      endpoint="/graphql"
      locale=${LOCALE}
      group-threads
      .tabs=${TABS}
      .getToken=${getToken}
      @hub-open=${this.openInApp}
      @hub-action=${this.openInApp}
    ></hub-inbox-list>`;
  }

  /** Open the URL of a notification in the app if the app has that route. */
  private openInApp(event: CustomEvent<{ url?: string }>): void {
    if (event.detail.url && this.navigate(event.detail.url)) event.preventDefault();
  }

  private readonly followLink = (event: MouseEvent): void => {
    const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || !link) return;
    if (this.navigate(link.href)) event.preventDefault();
  };

  /** Show the URL if it is on the app's origin. Otherwise return false. */
  private navigate(url: string): boolean {
    const { origin, pathname } = new URL(url, location.href);
    if (origin === location.origin) this.path = pathname;
    return origin === location.origin;
  }
}

const MARK = html`<svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="9" fill="#0f766e" />
  <path d="m8 23 8-14 8 14" fill="none" stroke="#fff" stroke-width="3" stroke-linejoin="round" stroke-linecap="round" />
</svg>`;

const stateIcon = (state: Issue["state"]) => html`<svg class=${state} width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.75" aria-hidden="true">
  <circle cx="8" cy="8" r="6.25" stroke-dasharray=${state === "open" ? "2.2 2.7" : nothing} />
  ${state === "done" ? DONE : state === "doing" ? DOING : nothing}
</svg>`;
const DOING = svg`<path d="M8 4.5a3.5 3.5 0 0 1 0 7Z" fill="currentColor" stroke="none" />`;
const DONE = svg`<path d="m5.25 8.25 2 2 3.5-4" stroke-linecap="round" stroke-linejoin="round" />`;

document.documentElement.lang = LOCALE;
document.documentElement.dir = LOCALE === "ar" ? "rtl" : "ltr";
customElements.define("acme-app", AcmeApp);
