/** A list for administrators that is read when it is opened. */
import { LitElement, css, html, nothing, type TemplateResult } from "lit";
import { sharedStyles } from "./shared-styles";

export abstract class AdminList<Row> extends LitElement {
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
        overflow-wrap: break-word;
      }
      @media (max-width: 700px) {
        thead {
          display: none;
        }
        tr {
          display: block;
          padding: 6px 0;
          border-bottom: 1px solid var(--line);
        }
        td {
          display: block;
          padding: 1px 0;
          border: 0;
          overflow-wrap: anywhere;
        }
      }
      time {
        white-space: nowrap;
      }
    `,
  ];
  static override properties = { rows: { state: true }, error: { state: true } };

  declare private rows: readonly Row[] | undefined;
  declare private error: string;

  protected abstract readonly heading: string;
  protected abstract readonly columns: readonly string[];
  protected abstract read(): Promise<readonly Row[]>;
  protected abstract cells(row: Row): TemplateResult;
  protected abstract hint(rows: readonly Row[] | undefined): TemplateResult | typeof nothing;

  constructor() {
    super();
    this.error = "";
  }

  override render() {
    return html`
      <details class="card" @toggle=${this.toggle}>
        <summary id="heading">${this.heading}</summary>
        <div class="content">
          ${this.error ? html`<p class="error small" role="alert">${this.error}</p>` : nothing} ${this.hint(this.rows)}
          ${this.rows?.length ? this.table(this.rows) : nothing}
        </div>
      </details>
    `;
  }

  private table(rows: readonly Row[]) {
    return html`<table aria-labelledby="heading">
      <thead>
        <tr>
          ${this.columns.map((name) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => html`<tr>${this.cells(row)}</tr>`)}
      </tbody>
    </table>`;
  }

  private async toggle(event: Event): Promise<void> {
    if (!(event.target as HTMLDetailsElement).open) return;
    try {
      this.rows = await this.read();
      this.error = "";
    } catch (error) {
      this.error = (error as Error).message;
    }
  }
}
