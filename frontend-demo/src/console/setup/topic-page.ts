/** One topic: its form, and its subscribers. */
import { html, nothing } from "lit";
import { request } from "../client";
import { emptyState, skeleton } from "../element";
import { Form, linesOf, orNull } from "../form";
import { count, counted } from "../format";
import { ListPage } from "../list-page";
import { pageHeading, userLink } from "../parts";
import { may } from "../roles";
import { address, navigate } from "../router";
import { Subscribe, Subscribers, Topics, Unsubscribe, UpsertTopic, type Subscriber, type Topic } from "./operations";

const PAGE_SIZE = 50;
const EMPTY = { key: "", name: "", description: "", visible: false };

class TopicPage extends ListPage<Subscriber> {
  static override properties = { itemId: {}, topic: { state: true } };

  declare itemId: string;
  declare private topic: Topic | null | undefined;
  private readonly form = new Form(this, EMPTY);
  private readonly users = new Form(this, { users: "" });
  /** True if the form must take what is read next. Otherwise, it keeps what a person has written. */
  private resets = true;

  constructor() {
    super();
    this.form.readOnly = !may("service");
  }

  protected async load(signal: AbortSignal): Promise<void> {
    if (!this.itemId) {
      this.topic = null;
      return;
    }
    const variables = { topic: this.itemId, first: PAGE_SIZE, after: this.cursor };
    const [topic, { users }] = await Promise.all([findTopic(this.itemId, signal), request(Subscribers, variables, signal)]);
    this.show(users);
    if (topic && this.resets) this.form.reset({ ...topic, description: topic.description ?? "" });
    this.resets = !topic;
    this.topic = topic;
  }

  protected filtered(changes: Record<string, string | null>): string {
    return address("topics", this.itemId, changes);
  }

  override render() {
    const { itemId, topic } = this;
    const heading = itemId || "New topic";
    if (topic === undefined) return html`${pageHeading(heading)} ${this.error ? this.errorMessage() : skeleton()}`;
    if (itemId && !topic) return html`${pageHeading(heading)} ${emptyState("This topic does not exist.", html`<a href=${address("topics")}>All topics</a>`)}`;
    return html`${pageHeading(html`<bdi>${topic?.name ?? heading}</bdi>`)} ${this.feedback()} ${this.errorMessage()}
      <div class=${topic ? "editor" : ""}>
        <form class="card form" aria-label="Topic" @submit=${this.save}>
          ${this.form.text("key", "Key", { required: true, disabled: itemId !== "" })} ${this.form.text("name", "Name")}
          ${this.form.text("description", "Description", { rows: 3 })}
          ${this.form.check("visible", "Users see the topic in their preferences, and may leave it")}
          ${this.form.rest()}
          ${may("service") ? html`<div class="form-actions"><button class="main" ?disabled=${this.form.busy}>Save</button></div>` : nothing}
        </form>
        ${topic ? this.subscribers(topic) : nothing}
      </div>`;
  }

  private subscribers({ subscribers }: Topic) {
    const rows = this.rows ?? [];
    return html`<section class="card" aria-labelledby="subscribers">
      <h2 id="subscribers">Subscribers <span class="quiet">${subscribers === null ? nothing : count(subscribers)}</span></h2>
      ${may("service")
        ? html`<form class="form" aria-label="Subscribe users" @submit=${this.subscribe}>
            ${this.users.text("users", "Subscribe users", { rows: 2, required: true, hint: "Ids, one per line. Users who left the topic are not subscribed again." })}
            ${this.users.rest()}
            <div class="form-actions"><button ?disabled=${this.users.busy}>Subscribe</button></div>
          </form>`
        : nothing}
      ${rows.length
        ? html`<ul class="results plain">
            ${rows.map(
              ({ id, name }) => html`<li data-row>${userLink(id)} <span class="quiet"><bdi>${name ?? ""}</bdi></span>
                ${may("service")
                  ? html`<span class="row-actions"><button class="plain" type="button" @click=${() => this.unsubscribe(id)}>Unsubscribe<span class="hidden"> ${id}</span></button></span>`
                  : nothing}</li>`,
            )}
          </ul>`
        : html`<p class="quiet">Nobody is subscribed on this page.</p>`}
      ${this.paging("First page", "Next page")}
    </section>`;
  }

  private readonly save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const { key, name, description, visible } = this.form.values;
    const input = { key: key.trim(), name: orNull(name), description: orNull(description), visible };
    const saved = await this.form.submit(() => request(UpsertTopic, { input }));
    if (!saved) return;
    this.resets = true;
    if (this.itemId) await this.act(async () => "The topic is saved.");
    else navigate(address("topics", saved.upsertTopic.key), { replace: true });
  };

  private readonly subscribe = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const users = linesOf(this.users.values.users);
    const done = await this.users.submit(() => request(Subscribe, { topic: this.itemId, users }));
    if (!done) return;
    this.users.reset({ users: "" });
    await this.act(async () => `${counted(done.subscribeToTopic, "user was", "users were")} subscribed.`);
  };

  private unsubscribe(id: string): Promise<void> {
    return this.act(async () => {
      await request(Unsubscribe, { topic: this.itemId, users: [id] });
      return `${id} is unsubscribed.`;
    });
  }
}

/** Return the topic with this key. The search of the API also finds longer keys, and names. */
async function findTopic(key: string, signal: AbortSignal): Promise<Topic | null> {
  let after: string | null = null;
  do {
    const { topics } = await request(Topics, { search: key, first: 100, after }, signal) as { topics: { nodes: readonly Topic[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } };
    const found = topics.nodes.find((one) => one.key === key);
    if (found) return found;
    after = topics.pageInfo.hasNextPage ? topics.pageInfo.endCursor : null;
  } while (after);
  return null;
}

customElements.define("topic-page", TopicPage);
