import { css, html, type TemplateResult } from "lit";
import { define } from "../page";
import { HubInbox } from "./hub-inbox";
import { theme } from "./theme";

const listStyles = css`
  :host { display: block; position: relative; }
  .list { height: var(--hub-height, 640px); background: var(--background); }
`;

/**
 * The inbox without the bell, as a part of a page: `<hub-inbox-list token="...">`. Its attributes, properties, and
 * events are those of `<hub-inbox>`, without `keep-open`.
 */
export class HubInboxList extends HubInbox {
  static override styles = [theme, listStyles];
  protected override readonly closable = false;
  protected override isInView = false;
  readonly #viewObserver = new IntersectionObserver((entries) => {
    this.isInView = !!entries.at(-1)?.isIntersecting;
    this.markSeen();
  });

  constructor() {
    super();
    this._open = true;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.markSeen);
    this.#viewObserver.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.markSeen);
    this.#viewObserver.disconnect();
  }

  protected override render(): TemplateResult {
    const { i18n } = this;
    return html`<div class="list" part="list" role="region" aria-label=${i18n.t("notifications")} lang=${i18n.locale} dir=${i18n.dir}>
        ${this.renderContent()}
      </div>
      ${this.renderAnnouncement()}`;
  }
}

define("hub-inbox-list", HubInboxList);
