/** The audit log, newest first. It is only read. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, skeleton } from "./element";
import { timeOf } from "./format";
import { ListPage } from "./list-page";
import { AuditLog, type AuditEntry, type AuditFilter } from "./operations";
import { pageHeading } from "./parts";
import { address, navigate } from "./router";

const PAGE_SIZE = 50;
const FIELDS = ["actor", "action", "target"] as const;

class AuditPage extends ListPage<AuditEntry> {
  protected async load(signal: AbortSignal): Promise<void> {
    const given = FIELDS.map((field) => [field, this.params.get(field)]).filter(([, value]) => value);
    const variables = { filter: Object.fromEntries(given) as AuditFilter, first: PAGE_SIZE, after: this.cursor };
    this.show((await request(AuditLog, variables, signal)).auditLog);
  }

  override render() {
    return html`${pageHeading("Audit log")}
      <p class="lead">Changes of configuration, credentials, and user data, with the caller who made them.</p>
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        ${FIELDS.map((field) => {
          const value = this.params.get(field) ?? "";
          const label = `${field[0]?.toUpperCase()}${field.slice(1)}`;
          return html`<label class="field ${value ? "chosen" : ""}"
            ><span class="hidden">${label}</span>
            <input
              type="text"
              placeholder=${label}
              autocomplete="off"
              spellcheck="false"
              .value=${value}
              @change=${(event: Event) => navigate(this.filtered({ [field]: (event.target as HTMLInputElement).value.trim() }))}
          /></label>`;
        })}
      </form>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(8)}`;
  }

  protected filtered(changes: Record<string, string | null>): string {
    const kept = Object.fromEntries(FIELDS.map((field) => [field, this.params.get(field)]));
    return address("audit", "", { ...kept, ...changes });
  }

  private table(entries: readonly AuditEntry[]) {
    if (!entries.length) return emptyState("No entry matches.", "Sends and marks are not in the audit log.");
    return html`<table class="rows">
        <caption class="hidden">Changes, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th><th scope="col">Actor</th><th scope="col">Action</th><th scope="col">Target</th>
            <th scope="col">Changes</th>
          </tr>
        </thead>
        <tbody>
          ${entries.map(
            ({ at, actor, action, target, changes }) => html`<tr data-row>
              <td class="when">${timeOf(at)}</td>
              <td class="person"><a data-main href=${this.filtered({ actor })}><bdi>${actor}</bdi></a></td>
              <td class="action"><a href=${this.filtered({ action })}><code>${action}</code></a></td>
              <td class="person"><bdi>${target ?? ""}</bdi></td>
              <td class="why">${changesOf(changes)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging()}`;
  }
}

/** Return the names of the changed fields, and for configuration their values. Of people, the log has only the names. */
function changesOf(changes: unknown) {
  const { fields, ...values } = (changes ?? {}) as { fields?: string[] };
  const names = Array.isArray(fields) ? fields : Object.keys(values);
  if (!names.length) return nothing;
  if (!Object.keys(values).length) return names.join(", ");
  return html`<details>
    <summary>${names.join(", ")}</summary>
    <pre tabindex="0" aria-label="Values">${JSON.stringify(changes, null, 2)}</pre>
  </details>`;
}

customElements.define("audit-page", AuditPage);
