/** The list of rules. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, LoadingElement, skeleton } from "../element";
import { timeOf } from "../format";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address } from "../router";
import { Rules, type RuleRow } from "./operations";

class RulesPage extends LoadingElement {
  static override properties = { rows: { state: true } };

  declare private rows: readonly RuleRow[] | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    this.rows = (await request(Rules, undefined, signal)).rules;
  }

  override render() {
    return html`${pageHeading(
        "Rules",
        may("admin") ? html`<span class="actions"><a class="button main" href=${address("rules", "", { new: "1" })}>New rule</a></span>` : nothing,
      )}
      <p class="lead">A rule turns events of your systems into sends.</p>
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(4)}`;
  }

  private table(rows: readonly RuleRow[]) {
    if (!rows.length) return emptyState("There are no rules yet.", "Without a rule, an event causes no send.");
    return html`<table class="rows">
      <caption class="hidden">Rules</caption>
      <thead>
        <tr>
          <th scope="col">Rule</th><th scope="col">State</th><th scope="col">Events</th><th scope="col">Category</th>
          <th scope="col">Changed</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ key, name, enabled, type, source, category, updatedAt }) => html`<tr data-row>
            <td class="title"><a data-main href=${address("rules", key)}><bdi>${name ?? key}</bdi></a></td>
            <td>${ruleBadge(enabled)}</td>
            <td><a href=${address("events", "", { type: type.endsWith("*") ? null : type })}><code>${type}</code></a>
              ${source ? html`<span class="quiet small"> from <bdi>${source}</bdi></span>` : nothing}</td>
            <td>${category}</td>
            <td class="when">${timeOf(updatedAt)}</td>
          </tr>`,
        )}
      </tbody>
    </table>`;
  }
}

/** Return the badge of a rule. */
export const ruleBadge = (enabled: boolean) =>
  enabled ? html`<span class="badge good">enabled</span>` : html`<span class="badge">disabled</span>`;

customElements.define("rules-page", RulesPage);
