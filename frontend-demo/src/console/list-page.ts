/** The base of lists. */
import { html, nothing, type PropertyDeclarations } from "lit";
import { ActingElement } from "./acting-element";

interface Connection<Row> {
  readonly nodes: readonly Row[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** A list whose filter and page are in the address. If `refreshMs` is set, its first page refreshes. */
export abstract class ListPage<Row> extends ActingElement {
  static override properties: PropertyDeclarations = {
    params: { attribute: false },
    rows: { state: true },
    endCursor: { state: true },
  };

  declare params: URLSearchParams;
  /** Undefined until they are read. */
  declare protected rows: readonly Row[] | undefined;
  /** The cursor of the next page, or null if there is none. */
  declare protected endCursor: string | null;

  constructor() {
    super();
    this.endCursor = null;
  }

  /** Return the address of the list with some parameters changed. Without `after`, it is the first page. */
  protected abstract filtered(changes: Record<string, string | null>): string;

  /** The cursor of this page, or null if it is the first. */
  protected get cursor(): string | null {
    return this.params.get("after");
  }

  protected override get busy(): boolean {
    return !!this.cursor || super.busy;
  }

  override updated(changed: Map<string, unknown>): void {
    if (changed.get("params")) void this.reload();
  }

  /** Show a page that was read. */
  protected show({ nodes, pageInfo }: Connection<Row>): void {
    this.rows = nodes;
    this.endCursor = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  }

  protected override liveMark() {
    return this.cursor ? html`` : super.liveMark();
  }

  /** Return the links to other pages, with the labels of the first and of the next one. */
  protected paging(first = "Newest", next = "Older", label = "Pages") {
    if (!this.cursor && !this.endCursor) return nothing;
    return html`<nav class="paging" aria-label=${label}>
      ${this.cursor ? html`<a class="button" href=${this.filtered({})}>${first}</a>` : nothing}
      ${this.endCursor ? html`<a class="button" href=${this.filtered({ after: this.endCursor })}>${next}</a>` : nothing}
    </nav>`;
  }
}
