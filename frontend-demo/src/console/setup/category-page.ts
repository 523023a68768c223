/** The form of a category. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { Form, orNull, parseJson } from "../form";
import { CHANNEL_KEYS, channelName } from "../labels";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { AllCategories, DeleteCategory, UpsertCategory, type Category, type CategoryInput } from "./operations";

const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
const EMPTY = {
  key: "", name: "", description: "", required: false, defaultChannels: ["IN_APP"] as readonly string[], priority: "MEDIUM",
  steps: "", digest: "", retention: "", applyRetention: false, enrichment: "",
};

class CategoryPage extends ActingElement {
  static override properties = { itemId: {}, category: { state: true } };

  declare itemId: string;
  declare private category: Category | null | undefined;
  private readonly form = new Form(this, EMPTY);

  constructor() {
    super();
    this.form.readOnly = !may("admin");
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const { categories } = this.itemId ? await request(AllCategories, undefined, signal) : { categories: [] };
    const found = categories.find(({ key }) => key === this.itemId) ?? null;
    this.category = found;
    if (found) this.form.reset(toValues(found));
  }

  override render() {
    const { itemId, category, form } = this;
    const heading = itemId || "New category";
    if (category === undefined) return html`${pageHeading(heading)} ${this.error ? this.errorMessage() : skeleton()}`;
    if (itemId && !category)
      return html`${pageHeading(heading)} ${emptyState("This category does not exist.", html`<a href=${address("categories")}>All categories</a>`)}`;
    const { retention } = form.values;
    return html`${pageHeading(
        html`<bdi>${category?.name ?? heading}</bdi>`,
        category
          ? html`<span class="actions">
              <a class="button" href=${address("sends", "", { category: category.key })}>Sends</a>
              ${may("admin") ? html`<button type="button" @click=${() => this.confirmDelete(category)}>Delete…</button>` : nothing}
            </span>`
          : nothing,
      )}
      ${this.feedback()} ${this.errorMessage()}
      <form class="card form" aria-label="Category" @submit=${this.save}>
        <div class="field-row">${form.text("key", "Key", { required: true, disabled: itemId !== "" })} ${form.text("name", "Name", { required: true })}</div>
        ${form.text("description", "Description", { rows: 2, hint: "Users see the name and the description in their preferences." })}
        ${form.check("required", "Required", "Users cannot turn it off, for example for security or legal reasons.")}
        ${form.checks("defaultChannels", "Channels", CHANNEL_KEYS.map((key) => [key, channelName(key)] as const), "Of a send that names no channels.")}
        <div class="field-row">
          ${form.select("priority", "Priority", PRIORITIES.map((key) => [key, key.toLowerCase()] as const))}
          ${form.text("digest", "Digest", { placeholder: "PT1H", hint: "The time for which messages are gathered." })}
          ${form.text("retention", "Retention", { placeholder: "P90D", hint: "The time for which inboxes keep notifications." })}
        </div>
        ${retention !== (category?.retention ?? "") ? form.check("applyRetention", "Also apply the retention to earlier sends") : nothing}
        ${form.text("steps", "Steps", { code: true, rows: 3, placeholder: '[{"channels": ["EMAIL"], "after": "PT1H"}]', hint: "JSON, as in the API. They replace the channels." })}
        ${form.text("enrichment", "Enrichment", { code: true, rows: 2, placeholder: '{"url": "https://example.org/data"}', hint: "JSON, as in the API. Where more data of the texts comes from." })}
        ${form.rest()}
        ${may("admin") ? html`<div class="form-actions"><button class="main" ?disabled=${form.busy}>Save</button></div>` : nothing}
      </form>`;
  }

  private readonly save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const saved = await this.form.submit(async () => {
      const { applyRetention } = this.form.values;
      return (await request(UpsertCategory, { input: toInput(this.form.values), applyRetention })).upsertCategory;
    });
    if (!saved) return;
    if (this.itemId) await this.act(async () => "The category is saved. New sends use it.");
    else navigate(address("categories", saved.key), { replace: true });
  };

  private confirmDelete({ key, name }: Category): void {
    this.confirmation = {
      heading: `Delete the category ${name}`,
      content: html`<p>Its notifications remain. A later send to the key creates it again, with defaults. What users chose for it then applies again.</p>`,
      action: "Delete",
      danger: true,
      run: async () => {
        await request(DeleteCategory, { key });
        navigate(address("categories"), { replace: true });
        return "";
      },
    };
  }
}

const toValues = (category: Category): typeof EMPTY => ({
  ...EMPTY,
  ...category,
  description: category.description ?? "",
  digest: category.digest ?? "",
  retention: category.retention ?? "",
  steps: category.steps.length ? JSON.stringify(category.steps, null, 2) : "",
  enrichment: category.enrichment ? JSON.stringify(category.enrichment, null, 2) : "",
});

const toInput = (values: typeof EMPTY): CategoryInput => ({
  key: values.key.trim(),
  name: values.name.trim(),
  description: orNull(values.description),
  required: values.required,
  defaultChannels: [...values.defaultChannels] as CategoryInput["defaultChannels"],
  priority: values.priority as CategoryInput["priority"],
  digest: orNull(values.digest),
  retention: orNull(values.retention),
  steps: (parseJson(values.steps, "steps") ?? null) as CategoryInput["steps"],
  enrichment: (parseJson(values.enrichment, "enrichment") ?? null) as CategoryInput["enrichment"],
});

customElements.define("category-page", CategoryPage);
