/** The service keys of the tenant, read with an administrator's token when the list is opened. */
import { LitElement, css, html, nothing } from "lit";
import { readServiceKeys, type ServiceKey } from "./sender-api";
import { sharedStyles } from "./shared-styles";

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short", hourCycle: "h23" });

class DemoServiceKeys extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      details {
        overflow: hidden;
      }
      summary {
        padding: 14px 18px;
        font-weight: 600;
        cursor: pointer;
      }
      .content {
        padding: 0 18px 18px;
        overflow-x: auto;
      }
    `,
  ];
  static override properties = { keys: { state: true }, error: { state: true } };

  declare private keys: readonly ServiceKey[] | undefined;
  declare private error: string;

  constructor() {
    super();
    this.error = "";
  }

  override render() {
    return html`
      <details class="card" @toggle=${this.toggle}>
        <summary id="keys">Service keys of back ends</summary>
        <div class="content">
          ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing}
          <p class="quiet">Create a key with <code>hub keys create my-back-end --scope SEND</code>.</p>
          ${this.keys?.length ? this.table(this.keys) : nothing}
        </div>
      </details>
    `;
  }

  private table(keys: readonly ServiceKey[]) {
    return html`<table aria-labelledby="keys">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Key</th>
          <th scope="col">Role</th>
          <th scope="col">Scopes</th>
          <th scope="col">Last used</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        ${keys.map(
          (key) => html`<tr>
            <td>${key.name}</td>
            <td><code>${key.preview}…</code></td>
            <td>${key.role.toLowerCase()}</td>
            <td>${key.scopes.join(", ") || "all"}</td>
            <td>${key.lastUsedAt ? clock.format(new Date(key.lastUsedAt)) : "never"}</td>
            <td>${key.revokedAt ? `revoked ${clock.format(new Date(key.revokedAt))}` : "active"}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private async toggle(event: Event): Promise<void> {
    if (!(event.target as HTMLDetailsElement).open) return;
    try {
      this.keys = await readServiceKeys();
      this.error = "";
    } catch (error) {
      this.error = (error as Error).message;
    }
  }
}

customElements.define("demo-service-keys", DemoServiceKeys);
