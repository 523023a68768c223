/** What the panel has to do with the inbox: its changes, its clock, and the marks of the user with their messages. */
import type { PropertyDeclarations, PropertyValues } from "lit";
import type { HubError, Status } from "../../../client/src/connection";
import type { Inbox, Item, Verb } from "../../../client/src/inbox";
import type { ListQuery } from "../../../client/src/list-query";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { oncePerFrame } from "../page";
import type { BulkVerb } from "./bulk-actions";
import { markItems } from "./marks";
import { NewItems } from "./new-items";
import { ExportingElement } from "./parts";
import { Toast } from "./toast";

const TICK_MS = 20_000;

export class InboxView extends ExportingElement {
  static override properties: PropertyDeclarations = {
    inbox: { attribute: false },
    i18n: { attribute: false },
    status: { attribute: false },
    open: { attribute: false },
    _now: { state: true },
  };
  declare inbox: Inbox | undefined;
  declare i18n: I18n<Messages>;
  declare status: Status;
  declare open: boolean;
  declare _now: number;

  protected readonly newItems = new NewItems();
  protected readonly toast = new Toast(this);
  #clock: ReturnType<typeof setInterval> | undefined;
  protected readonly onChange = oncePerFrame(() => this.open && this.requestUpdate());
  protected readonly tick = () => (this._now = this.inbox?.now ?? Date.now());
  readonly #onRefused = (event: Event) => {
    const { verb, error } = (event as CustomEvent<{ verb: Verb; error: HubError }>).detail;
    if (verb === "markAllSeen") return; // the user did not request this change
    this.toast.show(this.i18n.t("refused", { why: error.message }));
  };

  constructor() {
    super();
    this._now = Date.now();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stopClock();
  }

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }

  protected get scroller(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>(".scroll");
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("inbox")) {
      const before = changed.get("inbox") as Inbox | undefined;
      before?.removeEventListener("change", this.onChange);
      before?.removeEventListener("refused", this.#onRefused);
      before?.removeEventListener("clock", this.tick);
      this.inbox?.addEventListener("change", this.onChange);
      this.inbox?.addEventListener("refused", this.#onRefused);
      this.inbox?.addEventListener("clock", this.tick);
      this.newItems.release();
    }
    if (changed.has("inbox") || changed.has("status") || changed.has("open")) this.tick(); // a new connection provides the hub's clock
    if (this.open) this.#clock ??= setInterval(this.tick, TICK_MS);
    else this.#stopClock();
  }

  #stopClock(): void {
    clearInterval(this.#clock);
    this.#clock = undefined; // an element that was moved starts it again
  }

  /** Mark items, and show a message if the user can undo it. */
  protected mark(verb: Verb, items: readonly Item[], until?: string, action?: string): void {
    const { inbox, i18n, toast } = this;
    if (!inbox) return;
    for (const item of items) this.newItems.move(item);
    this.requestUpdate();
    if (action && items[0]) return inbox.mark(verb, [items[0].id], until, action);
    const revert = markItems(inbox, verb, items, until);
    const undo = () => (revert(), items[0]?.id);
    const { length } = items;
    if (verb === "archive") toast.show(length > 1 ? i18n.plural("didArchiveMany", length) : i18n.t("didArchive"), undo);
    if (verb === "snooze" && until) toast.show(i18n.t("didSnooze", { when: i18n.when(until, this._now) }), undo);
    if (verb === "markRead" && length > 1) toast.show(i18n.plural("didReadMany", length), undo);
  }

  protected markAll(verb: BulkVerb, query: ListQuery): void {
    const undo = this.inbox?.markAll(verb, query);
    this.toast.show(this.i18n.t(verb === "archiveAll" ? "didArchive" : "didReadAll"), undo);
  }
}
