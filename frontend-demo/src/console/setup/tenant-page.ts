/** What emails and pages of the tenant look like, and the language and time zone of users who have none of their own. */
import { html, nothing } from "lit";
import { ActingElement } from "../acting-element";
import { request } from "../client";
import { skeleton } from "../element";
import { Form, orNull } from "../form";
import { pageHeading } from "../parts";
import { may } from "../roles";
import { Tenant, UpdateTenant } from "./operations";

const EMPTY = { name: "", logoUrl: "", color: "", locale: "", timezone: "" };
const COLOR = /^#[0-9a-f]{6}$/i;

class TenantPage extends ActingElement {
  static override properties = { tenantId: { state: true } };

  declare private tenantId: string | undefined;
  private readonly form = new Form(this, EMPTY);

  constructor() {
    super();
    this.form.readOnly = !may("admin");
  }

  protected async load(signal: AbortSignal): Promise<void> {
    const { tenant } = await request(Tenant, undefined, signal);
    const { id, name, logoUrl, color, locale, timezone } = tenant;
    this.form.reset({ name: name === id ? "" : name, logoUrl: logoUrl ?? "", color: color ?? "", locale, timezone });
    this.tenantId = id;
  }

  override render() {
    const heading = pageHeading("Look and defaults");
    if (this.tenantId === undefined) return html`${heading} ${this.error ? this.errorMessage() : skeleton()}`;
    const { form } = this;
    return html`${heading}
      <p class="lead">What emails and pages of the tenant <code>${this.tenantId}</code> look like.</p>
      ${this.feedback()} ${this.errorMessage()}
      <form class="card form" aria-label="Tenant" @submit=${this.save}>
        ${form.text("name", "Name", { placeholder: this.tenantId, hint: "Shown in emails and pages. Empty: the id." })}
        ${form.text("logoUrl", "Logo", { placeholder: "https://example.org/logo.png", hint: "The URL of the logo in emails." })}
        ${form.text("color", "Color", { placeholder: "#4f46e5", code: true, hint: this.swatch() })}
        <div class="field-row">
          ${form.text("locale", "Language", { placeholder: "en", hint: "Of users who have none of their own, such as de or pt-BR." })}
          ${form.text("timezone", "Time zone", { placeholder: "UTC", hint: "Of users who have none of their own, such as Europe/Berlin." })}
        </div>
        ${form.rest()}
        ${form.readOnly ? nothing : html`<div class="form-actions"><button class="main" ?disabled=${form.busy}>Save</button></div>`}
      </form>`;
  }

  private swatch() {
    const color = this.form.values.color.trim();
    const shape = html`<svg class="color-sample" aria-hidden="true"><rect width="100%" height="100%" fill=${color} /></svg>`; // CSP: no inline style
    const sample = COLOR.test(color) ? shape : nothing;
    return html`Of buttons in emails, as #rrggbb. ${sample}`;
  }

  private readonly save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const { name, logoUrl, color, locale, timezone } = this.form.values;
    const input = {
      name: orNull(name), logoUrl: orNull(logoUrl), color: orNull(color), locale: orNull(locale), timezone: orNull(timezone),
    };
    const saved = await this.form.submit(() => request(UpdateTenant, { input }));
    if (saved) await this.act(async () => "The look is saved. It applies to what is sent from now on.");
  };
}

customElements.define("tenant-page", TenantPage);
