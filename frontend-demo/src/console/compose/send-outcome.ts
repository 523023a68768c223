/** What a send would do: the number of recipients, the channels of the first ones, and the texts of one of them. */
import { html, nothing } from "lit";
import { count, counted } from "../format";
import { channelName, toneOf } from "../labels";
import { userLink } from "../parts";
import type { Audience, Simulation } from "./operations";

type Decision = Simulation["decisions"][number];

/** The words for outcomes that have not happened. */
const OUTCOMES: Record<string, string> = { ACCEPTED: "now", HELD: "later", SKIPPED: "no", FAILED: "fails" };

export function outcomeOf(audience: Audience, simulation: readonly Simulation[], chosen: string, choose: (user: string) => void) {
  const shown = simulation.find(({ userId }) => userId === chosen) ?? simulation[0];
  return html`<p>
      <b class="figure" data-recipients>${audience.exact ? "" : "about "}${count(audience.recipients)}</b>
      ${audience.recipients === 1 ? "recipient" : "recipients"}
    </p>
    ${audience.scans ? html`<p class="notice wait">No index serves the filter, so the hub reads all users to find them.</p>` : nothing}
    ${notesOf(simulation)}
    ${simulation.length ? html`<h3>Channels of the first ${counted(simulation.length, "recipient", "recipients")}</h3>${summary(simulation)}` : nothing}
    ${shown
      ? html`<h3>What ${userLink(shown.userId)} would get</h3>
          ${simulation.length > 1
            ? html`<label class="field"><span class="hidden">Recipient of the preview</span>
                <select @change=${(event: Event) => choose((event.target as HTMLSelectElement).value)}>
                  ${simulation.map(({ userId }) => html`<option value=${userId} ?selected=${userId === shown.userId}>${userId}</option>`)}
                </select></label>`
            : nothing}
          <ul class="decisions messages">${oneOfEach(shown.decisions).map(message)}</ul>`
      : nothing}`;
}

function notesOf(simulation: readonly Simulation[]) {
  const notes = new Set(simulation.flatMap(({ decisions }) => decisions.map(({ note }) => note)).filter(Boolean));
  return [...notes].map((note) => html`<p class="notice wait">${note}</p>`);
}

/** Return how many of the recipients each channel would reach. A channel with devices counts once for each recipient. */
function summary(simulation: readonly Simulation[]) {
  const counts = new Map<string, Map<string, number>>();
  for (const { decisions } of simulation) {
    for (const { channel, outcome } of oneOfEach(decisions)) {
      const outcomes = counts.get(channel) ?? new Map<string, number>();
      counts.set(channel, outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
    }
  }
  const used = [...counts].filter(([, outcomes]) => [...outcomes.keys()].some((outcome) => outcome !== "SKIPPED"));
  if (!used.length) return html`<p class="notice wait">No channel would reach them.</p>`;
  return html`<ul class="decisions">
    ${used.map(
      ([channel, outcomes]) => html`<li><b>${channelName(channel)}</b>
        <span class="chips">${[...outcomes].map(([outcome, number]) => html`<span class="chip ${tone(outcome)}">${count(number)} ${OUTCOMES[outcome] ?? outcome}</span>`)}</span></li>`,
    )}
  </ul>`;
}

const oneOfEach = (decisions: readonly Decision[]): Decision[] => [
  ...new Map(decisions.map((one) => [`${one.channel} ${one.step} ${one.outcome}`, one])).values(),
];

const tone = (outcome: string): string => (outcome === "ACCEPTED" ? "good" : toneOf(outcome));

const message = ({ channel, outcome, explanation, title, body }: Decision) => html`<li>
  <span class="chip ${tone(outcome)}">${channelName(channel)} <span class="chip-status">${OUTCOMES[outcome] ?? outcome}</span></span>
  <span class="quiet small">${explanation}</span>
  ${title || body ? html`<div class="preview"><p class="content-title"><bdi>${title}</bdi></p><p class="preview-body"><bdi>${body}</bdi></p></div>` : nothing}
</li>`;
