/** The addresses to which nothing is sent, of all users or of one. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { ListPage } from "../list-page";
import { pageHeading, suppressionReason, userLink } from "../parts";
import { address, navigate } from "../router";
import { AllSuppressions, LiftSuppression, UserSuppressions, type Suppressed } from "./operations";

const PAGE_SIZE = 50;

class SuppressionsPage extends ListPage<Suppressed> {
  protected async load(signal: AbortSignal): Promise<void> {
    const user = this.params.get("user");
    if (user) {
      const found = await request(UserSuppressions, { user }, signal);
      return this.show({ nodes: found.user?.suppressions ?? [], pageInfo: { hasNextPage: false, endCursor: null } });
    }
    this.show((await request(AllSuppressions, { first: PAGE_SIZE, after: this.cursor }, signal)).suppressions);
  }

  protected filtered(changes: Record<string, string | null>): string {
    return address("suppressions", "", { user: this.params.get("user"), ...changes });
  }

  override render() {
    const user = this.params.get("user") ?? "";
    return html`${pageHeading("Suppressions")}
      <p class="lead">Nothing is sent to these addresses, because a provider reported a problem or the user complained.</p>
      <form class="filters" aria-label="Filter" @submit=${(event: Event) => event.preventDefault()}>
        <label class="field ${user ? "chosen" : ""}"><span class="hidden">User id</span>
          <input type="text" placeholder="User id" autocomplete="off" spellcheck="false" .value=${user}
            @change=${(event: Event) => navigate(address("suppressions", "", { user: (event.target as HTMLInputElement).value.trim() }))} /></label>
      </form>
      ${this.feedback()}
      ${this.error ? this.errorMessage() : this.rows ? this.table(this.rows) : skeleton(6)}`;
  }

  private table(rows: readonly Suppressed[]) {
    if (!rows.length) return emptyState("No address is suppressed.", this.params.get("user") ? "This user has none, or does not exist." : nothing);
    return html`<table class="rows">
        <caption class="hidden">Suppressed addresses</caption>
        <thead><tr><th scope="col">Address</th><th scope="col">Reason</th><th scope="col">User</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr data-row>
              <td class="title"><bdi>${row.address}</bdi></td>
              <td><span class="badge bad">${suppressionReason(row.reason)}</span></td>
              <td class="person">${userLink(row.userId)}</td>
              <td><button type="button" data-main @click=${() => this.confirmLift(row)}>Lift<span class="hidden"> ${row.address}</span>…</button></td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${this.paging("First page", "Next page")}`;
  }

  private confirmLift({ userId, address: suppressed, reason }: Suppressed): void {
    this.confirmation = {
      heading: "Lift the suppression",
      content: html`<p>Later messages are sent to <b><bdi>${suppressed}</bdi></b> again.</p>
        ${reason === "complained" ? html`<p>This user reported an email as spam. Lift it only if the user asked for it.</p>` : nothing}`,
      action: "Lift",
      run: async () => {
        const { liftSuppression } = await request(LiftSuppression, { userId, address: suppressed });
        return liftSuppression ? "The suppression is lifted. Deliveries that were not sent stay so." : "The address was not suppressed.";
      },
    };
  }
}

customElements.define("suppressions-page", SuppressionsPage);
