/** One person: profile, addresses, preferences, everything that was sent, and what would reach the person now. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, LoadingElement, skeleton } from "./element";
import { Person, Suppressions, type Person as Row, type Suppression } from "./operations";
import { pageHeading } from "./parts";
import { addressCard, preferencesCard, profileCard } from "./person-cards";
import "./person-reach";
import "./person-timeline";
import { isHidden } from "./roles";
import { address } from "./router";

class PersonPage extends LoadingElement {
  static override properties = { itemId: {}, person: { state: true }, suppressions: { state: true } };

  declare itemId: string;
  declare private person: Row | null | undefined;
  /** Null if the caller may not read them. */
  declare private suppressions: readonly Suppression[] | null | undefined;

  protected async load(signal: AbortSignal): Promise<void> {
    const suppressed = request(Suppressions, { id: this.itemId }, signal).then(
      ({ user }) => user?.suppressions ?? [],
      () => null, // requires a role of staff or admin
    );
    this.person = (await request(Person, { id: this.itemId }, signal)).user;
    this.suppressions = await suppressed;
  }

  override render() {
    const { person } = this;
    if (!person) {
      const missing = emptyState("This person does not exist.", html`No user has the id <code>${this.itemId}</code>.`);
      return html`${pageHeading("Person")} ${this.error ? this.errorMessage() : person === null ? missing : skeleton()}`;
    }
    const name = isHidden(person.name) ? "" : person.name;
    return html`${pageHeading(
        html`<bdi>${name || person.id}</bdi>`,
        html`${name ? html`<code class="quiet">${person.id}</code>` : nothing}
          <span class="actions">
            <a class="button" href=${address("deliveries", "", { user: person.id })}>All deliveries</a>
          </span>`,
      )}
      <div class="columns">
        <div>
          <person-reach class="card" .user=${person.id}></person-reach>
          <person-timeline class="card" .user=${person.id}></person-timeline>
        </div>
        <aside aria-label="About ${person.id}">
          ${profileCard(person)} ${addressCard(person, this.suppressions)} ${preferencesCard(person)}
        </aside>
      </div>`;
  }
}

customElements.define("person-page", PersonPage);
