/** Everything that was sent to a person, newest first, with each channel that was used or decided against. */
import { html, nothing } from "lit";
import { request } from "./client";
import { emptyState, LoadingElement, skeleton } from "./element";
import { fullTime, timeOf } from "./format";
import { HiddenTimeline, InboxTimeline, type TimelineEntry } from "./operations";
import { channelChip, sentTo } from "./parts";
import { channelName } from "./labels";
import { titleOf } from "./roles";
import { address } from "./router";

const PAGE_SIZE = 20;

interface Page {
  nodes: TimelineEntry[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** One of the two lists that the timeline consists of. */
class Source {
  entries: TimelineEntry[] = [];
  #after: string | null = null;
  #more = true;

  readonly #read: (after: string | null) => Promise<Page | undefined>;

  constructor(read: (after: string | null) => Promise<Page | undefined>) {
    this.#read = read;
  }

  /** The time before which entries may be missing. Null if nothing is missing. */
  get missingBefore(): string | null {
    return this.#more ? (this.entries.at(-1)?.createdAt ?? "9999") : null;
  }

  async next(): Promise<void> {
    const page = await this.#read(this.#after);
    this.entries = [...this.entries, ...(page?.nodes ?? [])];
    this.#more = !!page?.pageInfo.hasNextPage;
    this.#after = page?.pageInfo.endCursor ?? null;
  }
}

class PersonTimeline extends LoadingElement {
  static override properties = { user: {}, entries: { state: true }, more: { state: true } };

  declare user: string;
  declare private entries: readonly TimelineEntry[] | undefined;
  declare private more: boolean;
  private sources: Source[] = [];

  protected async load(signal: AbortSignal): Promise<void> {
    const variables = { id: this.user, first: PAGE_SIZE };
    this.sources = [
      new Source(async (after) => (await request(InboxTimeline, { ...variables, after }, signal)).user?.inbox),
      new Source(async (after) => (await request(HiddenTimeline, { ...variables, after }, signal)).user?.hiddenNotifications),
    ];
    await Promise.all(this.sources.map((source) => source.next()));
    this.merge();
  }

  /** Show the entries that are newer than everything that may be missing. */
  private merge(): void {
    const complete = this.sources.map((source) => source.missingBefore ?? "").sort().at(-1) ?? "";
    this.entries = this.sources
      .flatMap((source) => source.entries)
      .filter(({ createdAt }) => createdAt >= complete)
      .sort((one, other) => other.createdAt.localeCompare(one.createdAt));
    this.more = complete !== "";
  }

  override render() {
    return html`<section aria-labelledby="timeline">
      <h2 id="timeline">What was sent</h2>
      ${this.error ? this.errorMessage() : nothing}
      ${this.entries ? this.list(this.entries) : this.error ? nothing : skeleton()}
    </section>`;
  }

  private list(entries: readonly TimelineEntry[]) {
    if (!entries.length && !this.more) return emptyState("Nothing was sent to this person yet.");
    return html`<ol class="timeline">
        ${entries.map((entry) => this.entry(entry))}
      </ol>
      ${this.more ? html`<button type="button" @click=${this.older}>Older</button>` : nothing}`;
  }

  private entry({ id, title, categoryName, becauseKind, becauseOf, createdAt, seenAt, readAt, deliveries }: TimelineEntry) {
    const used = deliveries.filter(({ reason }) => reason !== "NOT_REQUESTED");
    const explained = used.filter(({ status, reason }) => reason || status === "FAILED" || status === "RETRYING");
    const seen = readAt ? html` · read ${timeOf(readAt)}` : seenAt ? html` · seen ${timeOf(seenAt)}` : nothing;
    return html`<li data-row id=${`n-${id}`}>
      <div class="timeline-when">${timeOf(createdAt)}</div>
      <div>
        <h3><bdi>${titleOf(title)}</bdi></h3>
        <p class="quiet small" title=${fullTime(createdAt)}>${categoryName} · ${sentTo(becauseKind, becauseOf)}${seen}</p>
        <ul class="chips" aria-label="Channels">
          ${grouped(used).map(([delivery, number]) => html`<li>${chip(delivery, number)}</li>`)}
        </ul>
        ${explained.length
          ? html`<ul class="reasons">
              ${explained.map(
                ({ channel, explanation, dueAt }) => html`<li>
                  <b>${channelName(channel)}:</b> ${explanation}
                  ${dueAt ? html`<span class="quiet">Due ${timeOf(dueAt)}.</span>` : nothing}
                </li>`,
              )}
            </ul>`
          : nothing}
      </div>
    </li>`;
  }

  private readonly older = async (): Promise<void> => {
    const newest = this.sources.filter((source) => source.missingBefore).sort((a, b) => (b.missingBefore ?? "").localeCompare(a.missingBefore ?? ""));
    try {
      await newest[0]?.next();
      this.merge();
    } catch {
      await this.reload();
    }
  };
}

type Delivery = TimelineEntry["deliveries"][number];

/** Return one delivery for each channel and status, and the number of deliveries (of different devices) with both. */
function grouped(deliveries: readonly Delivery[]): (readonly [Delivery, number])[] {
  const groups = new Map<string, [Delivery, number]>();
  for (const delivery of deliveries) {
    const key = `${delivery.channel} ${delivery.status}`;
    groups.set(key, [groups.get(key)?.[0] ?? delivery, (groups.get(key)?.[1] ?? 0) + 1]);
  }
  return [...groups.values()];
}

const chip = ({ id, channel, status, explanation }: Delivery, number: number) =>
  html`<a href=${address("deliveries", id)}>${channelChip(channel, status, explanation)}${number > 1 ? ` ×${number}` : nothing}</a>`;

customElements.define("person-timeline", PersonTimeline);
