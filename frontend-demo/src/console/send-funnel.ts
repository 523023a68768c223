/** How far a send came: accepted, sent, delivered, seen, read, and acted, in all and per channel. */
import { html, nothing } from "lit";
import { count, percent } from "./format";
import { CHANNEL_KEYS, channelName } from "./labels";
import type { Send } from "./operations";
import { address } from "./router";

const STAGES = ["Accepted", "Sent", "Delivered", "Seen", "Read", "Acted"] as const;
type Stage = (typeof STAGES)[number];
/** The statuses that count for a stage of a channel. A delivery that was read was also sent and delivered. */
const REACHED: Partial<Record<Stage, readonly string[]>> = {
  Sent: ["SENT", "DELIVERED", "READ"],
  Delivered: ["DELIVERED", "READ"],
  Read: ["READ"],
};

/** Return the funnel. Channels report only some of the stages: what a recipient did counts once, on any channel. */
export function sendFunnel({ id, recipients, counts, reactions, deletedNotifications }: Send) {
  const channels = CHANNEL_KEYS.filter((key) => counts.some(({ channel }) => channel === key));
  return html`<div class="scroll" tabindex="0" role="group" aria-labelledby="funnel"><table class="rows grid funnel">
      <caption class="hidden">How far the send came, by channel</caption>
      <thead>
        <tr><th scope="col">Channel</th>${STAGES.map((stage) => html`<th scope="col" class="number">${stage}</th>`)}</tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">Recipients</th>
          ${STAGES.map((stage) => cell(peopleAt(stage, recipients, reactions), recipients))}
        </tr>
        ${channels.map((channel) => {
          const accepted = sumOf(counts, channel, ({ status }) => status !== "SKIPPED");
          return html`<tr>
            <th scope="row">${channelName(channel)}</th>
            ${STAGES.map((stage) => cell(at(counts, channel, stage, accepted), accepted, linkTo(id, channel, stage)))}
          </tr>`;
        })}
      </tbody>
    </table></div>
    <p class="quiet small">
      Recipients count once, on any channel. Not every provider reports what was delivered or read.
      ${reactions.acknowledged ? `${count(reactions.acknowledged)} acknowledged it.` : nothing}
      ${deletedNotifications ? `${count(deletedNotifications)} of the notifications are no longer stored, because they are old. These numbers include them, the lists do not.` : nothing}
    </p>`;
}

function peopleAt(stage: Stage, recipients: number, { seen, read, acted }: Send["reactions"]): number | null {
  const stages: Partial<Record<Stage, number>> = { Accepted: recipients, Seen: seen, Read: read, Acted: acted };
  return stages[stage] ?? null;
}

function at(counts: Send["counts"], channel: string, stage: Stage, accepted: number): number | null {
  if (stage === "Accepted") return accepted;
  const statuses = channel === "IN_APP" && stage === "Sent" ? undefined : REACHED[stage];
  return statuses ? sumOf(counts, channel, ({ status }) => statuses.includes(status)) : null;
}

type Count = Send["counts"][number];

const sumOf = (counts: Send["counts"], channel: string, counted: (one: Count) => boolean): number =>
  counts.reduce((sum, one) => sum + (one.channel === channel && counted(one) ? one.count : 0), 0);

/** The inbox has no deliveries to list. */
function linkTo(send: string, channel: string, stage: Stage): string | null {
  const status = REACHED[stage]?.join(",");
  return channel !== "IN_APP" && status ? address("deliveries", "", { send, channel, status }) : null;
}

function cell(value: number | null, of: number, to: string | null = null) {
  if (value === null) return html`<td class="number quiet"><span aria-hidden="true">–</span><span class="hidden">not reported</span></td>`;
  const number = html`<b>${count(value)}</b>`;
  return html`<td class="number">
    ${to && value ? html`<a href=${to}>${number}</a>` : number}
    <span class="small quiet">${of ? percent(value / of) : nothing}</span>
  </td>`;
}
