/** The newest entries of the audit log. */
import { html, nothing } from "lit";
import { AdminList } from "./admin-list";
import { readAuditLog, type AuditEntry } from "./sender-api";

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });

class DemoAuditLog extends AdminList<AuditEntry> {
  protected readonly heading = "Audit log: who changed what";
  protected readonly columns = ["Time", "Actor", "Action", "Target", "Changes"];
  protected readonly read = readAuditLog;

  protected hint(entries: readonly AuditEntry[] | undefined) {
    return entries?.length === 0 ? html`<p class="quiet">Nothing has been changed yet.</p>` : nothing;
  }

  protected cells({ at, actor, action, target, changes }: AuditEntry) {
    return html`<td class="small"><time datetime=${at}>${clock.format(new Date(at))}</time></td>
      <td>${actor}</td>
      <td>${action}</td>
      <td>${target ?? nothing}</td>
      <td>${changedFields(changes).join(", ")}</td>`;
  }
}

/** Return the names of the changed fields. Of people, the log has nothing else. */
function changedFields(changes: unknown): string[] {
  const { fields, ...values } = (changes ?? {}) as { fields?: string[] };
  return Array.isArray(fields) ? fields : Object.keys(values);
}

customElements.define("demo-audit-log", DemoAuditLog);
