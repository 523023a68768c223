/** The number of users whom a send to a topic, a filter, or everyone would reach. */
import { LitElement, css, html } from "lit";
import type { HubConnection } from "../../packages/client/src/connection";
import { CountAudience, type Audience } from "./sender-api";
import { exceptionsOf, recipientsOf, type RecipientKind, type SendValues } from "./send-values";
import { sharedStyles } from "./shared-styles";

/** Counting begins this long after the last change. */
const COUNT_AFTER_MS = 600;
const NOBODY: Record<RecipientKind, string> = {
  users: "No users.",
  topic: "This topic has no subscribers.",
  where: "No user matches.",
  everyone: "There are no users yet.",
};

/** Dispatches `refused` with the error if the recipients are not valid. */
export class DemoAudienceCount extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      p {
        margin: 0;
        min-height: 1.5em;
      }
      strong {
        color: var(--text);
      }
    `,
  ];
  static override properties = {
    hub: { attribute: false },
    values: { attribute: false },
    counting: { state: true },
    audience: { state: true },
  };

  declare hub: HubConnection | undefined;
  declare values: SendValues;
  declare private counting: boolean;
  declare private audience: Audience | undefined;
  private counted = ""; // the recipients that are counted
  private timer: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
  }

  protected override willUpdate(): void {
    const { recipients, fields } = this.values;
    const chosen = JSON.stringify([recipients, fields["to.topic"], fields["to.where"]]);
    if (!this.hub || chosen === this.counted) return;
    const delayMs = this.counted && recipients === "where" ? COUNT_AFTER_MS : 0;
    this.counted = chosen;
    this.counting = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.count(), delayMs);
  }

  /** Count the users again. Until the result, the last number is shown. */
  async count(): Promise<void> {
    const { counted } = this;
    let audience: Audience | undefined;
    try {
      audience = (await this.hub!.query(CountAudience, { to: recipientsOf(this.values) })).audience;
    } catch (error) {
      if (counted === this.counted) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
    if (counted !== this.counted) return;
    this.audience = audience;
    this.counting = false;
  }

  override render() {
    return html`<p class="small quiet" role="status">${this.counting ? "Counting…" : this.text()}</p>`;
  }

  private text() {
    if (!this.audience) return "";
    const { recipients, exact, scans } = this.audience;
    if (!recipients) return NOBODY[this.values.recipients];
    const count = `${recipients.toLocaleString("en")} ${recipients === 1 ? "user" : "users"}`;
    const excepted = exceptionsOf(this.values) ? ", including those in Except" : "";
    return html`<strong>${exact ? "" : "About "}${count}</strong>${excepted}.
      ${scans ? "No index serves this filter, so all users are read." : ""}`;
  }
}

customElements.define("demo-audience-count", DemoAudienceCount);
