/** The queue by channel and priority, and the providers, as the overview and the page of the queue show them. */
import { html } from "lit";
import { emptyState } from "./element";
import { count, percent, seconds, timeOf } from "./format";
import { CHANNEL_KEYS, channelName } from "./labels";
import type { Queues } from "./operations";
import { address } from "./router";

const PRIORITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
const OLD_S = 60; // a delivery that is due for longer is marked
const DUE = "ACCEPTED,RETRYING";

/** Return the due deliveries by channel and priority, and the age of the oldest. */
export function queueTable(queues: Queues["queues"]) {
  const channels = CHANNEL_KEYS.filter((key) => queues.some(({ channel }) => channel === key));
  return html`<section class="card" aria-labelledby="queues">
    <h2 id="queues">Due deliveries</h2>
    ${channels.length
      ? html`<div class="scroll" tabindex="0" role="group" aria-labelledby="queues"><table class="rows grid">
          <caption class="hidden">Due deliveries by channel and priority, and the age of the oldest</caption>
          <thead>
            <tr><th scope="col">Channel</th>${PRIORITIES.map((priority) => html`<th scope="col" class="number">${priority.toLowerCase()}</th>`)}</tr>
          </thead>
          <tbody>
            ${channels.map(
              (channel) => html`<tr>
                <th scope="row">${channelName(channel)}</th>
                ${PRIORITIES.map((priority) => queueCell(queues.find((one) => one.channel === channel && one.priority === priority)))}
              </tr>`,
            )}
          </tbody>
        </table></div>`
      : emptyState("The queue is empty.", "No delivery of this tenant is due.")}
  </section>`;
}

function queueCell(queue: Queues["queues"][number] | undefined) {
  if (!queue?.waiting) return html`<td class="number quiet">0</td>`;
  return html`<td class="number">
    <a href=${address("deliveries", "", { channel: queue.channel, status: DUE })}><b>${count(queue.waiting)}</b></a>
    <span class="small ${queue.oldestSeconds > OLD_S ? "late" : "quiet"}">oldest ${seconds(queue.oldestSeconds)}</span>
  </td>`;
}

/** Return the providers with the state of their circuit breakers. A link opens the failures of the last hour. */
export function providerTable(providers: Queues["providers"]) {
  return html`<section class="card" aria-labelledby="providers">
    <h2 id="providers">Providers</h2>
    ${providers.length
      ? html`<div class="scroll" tabindex="0" role="group" aria-labelledby="providers"><table class="rows grid">
          <caption class="hidden">Providers and their circuit breakers</caption>
          <thead>
            <tr>
              <th scope="col">Provider</th><th scope="col">Channel</th><th scope="col">State</th>
              <th scope="col" class="number">Failures, 15 min</th>
            </tr>
          </thead>
          <tbody>
            ${providers.map(
              ({ provider, channel, open, failureRate, since }) => html`<tr>
                <th scope="row">${provider}</th>
                <td>${channelName(channel)}</td>
                <td>
                  ${open
                    ? html`<span class="badge bad">paused since ${timeOf(since)}</span>`
                    : html`<span class="badge good">calling</span>`}
                </td>
                <td class="number"><a href=${failuresAt(provider)}>${percent(failureRate)}</a></td>
              </tr>`,
            )}
          </tbody>
        </table></div>`
      : emptyState("No provider is configured.", "Every message is captured or not sent.")}
  </section>`;
}

const failuresAt = (provider: string): string =>
  address("deliveries", "", { provider, status: "FAILED,RETRYING", time: "failed", range: "1h" });
