/** The dialog that creates a service key. */
import { html } from "lit";
import { request } from "../client";
import { ConsoleElement } from "../element";
import { Form } from "../form";
import { CreateServiceKey, type ServiceKeyInput } from "./operations";

const SCOPES = [
  ["SEND", "SEND: send, cancel, recall, replay"],
  ["READ", "READ: queries"],
  ["EVENTS", "EVENTS: publish events"],
  ["PEOPLE", "PEOPLE: users and topics"],
] as const;
const ROLES = [
  ["SERVICE", "service: back ends"],
  ["ADMIN", "admin: everything"],
  ["VIEWER", "viewer: people who look things up, masked"],
  ["SUPPORT", "support: people who help users"],
  ["OPERATOR", "operator: people who run the hub"],
] as const;
const DAY_MS = 86_400_000;

/** Events: `close`, and `done` with the secret. */
class KeyDialog extends ConsoleElement {
  private readonly form = new Form(this, { name: "", role: "SERVICE", scopes: [] as readonly string[], expiresAt: "" });

  override firstUpdated(): void {
    this.querySelector("dialog")?.showModal();
  }

  override render() {
    const { form } = this;
    return html`<dialog aria-labelledby="key-heading" @close=${() => this.dispatchEvent(new Event("close"))}>
      <form class="form" @submit=${this.onSubmit}>
        <h2 id="key-heading">New service key</h2>
        ${form.text("name", "Name", { required: true, placeholder: "shop back end" })}
        ${form.select("role", "Role", ROLES)}
        ${form.checks("scopes", "Scopes", SCOPES, "Without a scope, the key may do everything that its role may do.")}
        ${form.select("expiresAt", "Expires", [["", "never"], ["30", "in 30 days"], ["90", "in 90 days"], ["365", "in a year"]])}
        ${form.rest()}
        <div class="dialog-actions">
          <button type="button" @click=${() => this.querySelector("dialog")?.close()}>Cancel</button>
          <button class="main" ?disabled=${form.busy}>Create key</button>
        </div>
      </form>
    </dialog>`;
  }

  private readonly onSubmit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const { name, role, scopes, expiresAt: days } = this.form.values;
    const input: ServiceKeyInput = {
      name: name.trim(),
      role: role as ServiceKeyInput["role"],
      scopes: scopes.length ? ([...scopes] as ServiceKeyInput["scopes"]) : null,
      expiresAt: days ? new Date(Date.now() + Number(days) * DAY_MS).toISOString() : null,
    };
    const created = await this.form.submit(() => request(CreateServiceKey, { input }));
    if (!created) return;
    this.dispatchEvent(new CustomEvent("done", { detail: created.createServiceKey.secret }));
    this.querySelector("dialog")?.close();
  };
}

customElements.define("key-dialog", KeyDialog);
