/** The service keys of the tenant. */
import { html } from "lit";
import { AdminList } from "./admin-list";
import { readServiceKeys, type ServiceKey } from "./sender-api";

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short", hourCycle: "h23" });

class DemoServiceKeys extends AdminList<ServiceKey> {
  protected readonly heading = "Service keys of back ends";
  protected readonly columns = ["Name", "Key", "Role", "Scopes", "Last used", "State"];
  protected readonly read = readServiceKeys;

  protected hint() {
    return html`<p class="quiet">Create a key with <code>hub keys create my-back-end --scope SEND</code>.</p>`;
  }

  protected cells(key: ServiceKey) {
    return html`<td>${key.name}</td>
      <td><code>${key.preview}…</code></td>
      <td>${key.role.toLowerCase()}</td>
      <td>${key.scopes.join(", ") || "all"}</td>
      <td>${key.lastUsedAt ? clock.format(new Date(key.lastUsedAt)) : "never"}</td>
      <td>${key.revokedAt ? `revoked ${clock.format(new Date(key.revokedAt))}` : "active"}</td>`;
  }
}

customElements.define("demo-service-keys", DemoServiceKeys);
