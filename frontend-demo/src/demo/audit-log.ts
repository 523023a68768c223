/** The newest entries of the audit log, read with an administrator's token when the list is opened. */
import { LitElement, css, html, nothing } from "lit";
import { readAuditLog, type AuditEntry } from "./sender-api";
import { sharedStyles } from "./shared-styles";

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });

class DemoAuditLog extends LitElement {
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
      td {
        overflow-wrap: anywhere;
      }
      time {
        white-space: nowrap;
      }
    `,
  ];
  static override properties = { entries: { state: true }, error: { state: true } };

  declare private entries: readonly AuditEntry[] | undefined;
  declare private error: string;

  constructor() {
    super();
    this.error = "";
  }

  override render() {
    return html`
      <details class="card" @toggle=${this.toggle}>
        <summary id="audit">Audit log: who changed what</summary>
        <div class="content">
          ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing}
          ${this.entries?.length === 0 ? html`<p class="quiet">Nothing has been changed yet.</p>` : nothing}
          ${this.entries?.length ? this.table(this.entries) : nothing}
        </div>
      </details>
    `;
  }

  private table(entries: readonly AuditEntry[]) {
    return html`<table aria-labelledby="audit">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Actor</th>
          <th scope="col">Action</th>
          <th scope="col">Target</th>
          <th scope="col">Changes</th>
        </tr>
      </thead>
      <tbody>
        ${entries.map(
          ({ at, actor, action, target, changes }) => html`<tr>
            <td class="small"><time datetime=${at}>${clock.format(new Date(at))}</time></td>
            <td>${actor}</td>
            <td>${action}</td>
            <td>${target ?? nothing}</td>
            <td>${changedFields(changes).join(", ")}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private async toggle(event: Event): Promise<void> {
    if (!(event.target as HTMLDetailsElement).open) return;
    try {
      this.entries = await readAuditLog();
      this.error = "";
    } catch (error) {
      this.error = (error as Error).message;
    }
  }
}

/** Return the names of the changed fields. Of people, the log has nothing else. */
function changedFields(changes: unknown): string[] {
  const { fields, ...values } = (changes ?? {}) as { fields?: string[] };
  return Array.isArray(fields) ? fields : Object.keys(values);
}

customElements.define("demo-audit-log", DemoAuditLog);
