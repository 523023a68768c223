/** The editor of a rule, with a test against stored events. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { Form } from "../form";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { DeleteRule, Rule, RuleNames, UpsertRule, type Rule as StoredRule, type RuleNames as Names } from "./operations";
import { ruleFields } from "./rule-fields";
import "./rule-test";
import { EMPTY_RULE, toInput, toValues, type RuleValues } from "./rule-values";
import { ruleBadge } from "./rules-page";

const NOT_SAVED = html`<p class="quiet small">Your role may not save changes. The test uses them.</p>`;

class RulePage extends ActingElement {
  static override properties = { itemId: {}, params: { attribute: false }, rule: { state: true }, names: { state: true } };

  declare itemId: string;
  declare params: URLSearchParams;
  /** Null if the rule does not exist. */
  declare private rule: StoredRule | null | undefined;
  declare private names: Names | undefined;
  private readonly form = new Form<RuleValues>(this, EMPTY_RULE);

  protected async load(signal: AbortSignal): Promise<void> {
    const names = request(RuleNames, undefined, signal);
    const rule = this.itemId ? (await request(Rule, { key: this.itemId }, signal)).rule : null;
    this.names = await names;
    this.rule = rule;
    if (rule) this.form.reset(toValues(rule));
  }

  override render() {
    const { itemId, rule } = this;
    const heading = itemId || "New rule";
    if (rule === undefined) return html`${pageHeading(heading)} ${this.error ? this.errorMessage() : skeleton()}`;
    if (itemId && !rule) return html`${pageHeading(heading)} ${emptyState("This rule does not exist.", html`<a href=${address("rules")}>All rules</a>`)}`;
    return html`${pageHeading(
        html`<bdi>${rule?.name ?? heading}</bdi>`,
        rule
          ? html`${ruleBadge(rule.enabled)}
              ${may("admin") ? html`<span class="actions"><button type="button" @click=${() => this.confirmDelete(rule)}>Delete…</button></span>` : nothing}`
          : nothing,
      )}
      ${this.feedback()} ${this.errorMessage()}
      <div class="editor">
        <form class="card form" aria-label="Rule" @submit=${this.save}>
          ${ruleFields(this.form, this.names, !itemId)} ${this.form.rest()}
          ${may("admin") ? html`<div class="form-actions"><button class="main" ?disabled=${this.form.busy}>Save</button></div>` : NOT_SAVED}
        </form>
        <rule-test class="card" .form=${this.form} .event=${this.params.get("event") ?? ""}></rule-test>
      </div>`;
  }

  private readonly save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const saved = await this.form.submit(async () => request(UpsertRule, { input: toInput(this.form.values) }));
    if (!saved) return;
    if (this.itemId) await this.act(async () => "The rule is saved. New events use it.");
    else navigate(address("rules", saved.upsertRule.key), { replace: true });
  };

  private confirmDelete({ key }: StoredRule): void {
    this.confirmation = {
      heading: `Delete the rule ${key}`,
      content: html`<p>Events no longer start the rule. Sends that it has scheduled remain.</p>`,
      action: "Delete",
      danger: true,
      run: async () => {
        await request(DeleteRule, { key });
        navigate(address("rules"), { replace: true });
        return "";
      },
    };
  }
}

customElements.define("rule-page", RulePage);
