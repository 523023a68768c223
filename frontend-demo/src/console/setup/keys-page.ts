/** The service keys: create one, whose secret is shown once, and revoke one. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { timeOf } from "../format";
import { pageHeading } from "../parts";
import "./key-dialog";
import { RevokeServiceKey, ServiceKeys, type ServiceKey } from "./operations";

class KeysPage extends ActingElement {
  static override properties = { rows: { state: true }, creating: { state: true } };

  declare private rows: readonly ServiceKey[] | undefined;
  declare private creating: boolean;

  protected async load(signal: AbortSignal): Promise<void> {
    this.rows = (await request(ServiceKeys, undefined, signal)).serviceKeys;
  }

  override render() {
    return html`${pageHeading(
        "Service keys",
        html`<span class="actions"><button class="main" type="button" @click=${() => (this.creating = true)}>New key…</button></span>`,
      )}
      <p class="lead">Credentials of back ends. Scopes narrow what a key may do.</p>
      ${this.feedback()}
      ${this.error ? this.errorMessage() : this.rows ? this.tables(this.rows) : skeleton(4)}
      ${this.creating ? html`<key-dialog @close=${() => (this.creating = false)} @done=${this.onCreated}></key-dialog>` : nothing}`;
  }

  private readonly onCreated = ({ detail }: CustomEvent<string>): void => {
    this.secret = { heading: "The new key", value: detail };
    void this.act(async () => "The key is created.");
  };

  private tables(keys: readonly ServiceKey[]) {
    const revoked = keys.filter(({ revokedAt }) => revokedAt);
    const current = keys.filter(({ revokedAt }) => !revokedAt);
    return html`${current.length ? this.table(current, "Service keys") : emptyState("There are no service keys.", "Back ends can also use access tokens that you sign.")}
      ${revoked.length ? html`<details class="card"><summary>${revoked.length} revoked</summary>${this.table(revoked, "Revoked keys")}</details>` : nothing}`;
  }

  private table(keys: readonly ServiceKey[], caption: string) {
    return html`<table class="rows">
      <caption class="hidden">${caption}</caption>
      <thead>
        <tr>
          <th scope="col">Name</th><th scope="col">Key</th><th scope="col">Role and scopes</th><th scope="col">Created</th>
          <th scope="col">Last used</th><th scope="col">Expires</th><th scope="col"><span class="hidden">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${keys.map(
          (key) => html`<tr data-row>
            <td class="title"><bdi>${key.name}</bdi></td>
            <td><code>${key.preview}…</code></td>
            <td>${key.role.toLowerCase()} <span class="quiet small">${key.scopes.length ? key.scopes.join(", ") : "everything"}</span></td>
            <td class="when">${timeOf(key.createdAt)} <span class="small">by <bdi>${key.createdBy}</bdi></span></td>
            <td class="when">${key.lastUsedAt ? timeOf(key.lastUsedAt) : "never used"}</td>
            <td class="when">${key.revokedAt ? html`revoked ${timeOf(key.revokedAt)}` : key.expiresAt ? timeOf(key.expiresAt) : "does not expire"}</td>
            <td>${key.revokedAt ? nothing : html`<button type="button" data-main @click=${() => this.confirmRevocation(key)}>Revoke<span class="hidden"> ${key.name}</span>…</button>`}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private confirmRevocation({ id, name, lastUsedAt }: ServiceKey): void {
    this.confirmation = {
      heading: `Revoke the key ${name}`,
      content: html`<p>Requests with this key fail within a second. This cannot be undone.</p>
        <p>${lastUsedAt ? html`It was last used ${timeOf(lastUsedAt)}.` : "It was never used."}</p>`,
      action: "Revoke",
      danger: true,
      run: async () => {
        await request(RevokeServiceKey, { id });
        return `The key ${name} is revoked.`;
      },
    };
  }
}

customElements.define("keys-page", KeysPage);
