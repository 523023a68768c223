/** The result of `simulate`: the channels that would send to each user, and the reason for each other channel. */
import { LitElement, css, html, nothing } from "lit";
import { channelLabel, codeLabel, reasonLabel } from "./labels";
import type { Simulation } from "./sender-api";
import { sharedStyles } from "./shared-styles";

const NOT_REQUESTED = "NOT_REQUESTED";

export class DemoSimulation extends LitElement {
  static override styles = [
    sharedStyles,
    css`
      :host {
        display: grid;
        gap: 12px;
      }
      caption {
        padding-bottom: 2px;
        text-align: start;
        font-weight: 600;
      }
      table {
        table-layout: fixed;
      }
      thead th:nth-child(1) {
        width: 30%;
      }
      thead th:nth-child(2) {
        width: 25%;
      }
      td:last-child {
        padding-inline-end: 0;
      }
      p {
        margin: 6px 0 0;
      }
    `,
  ];
  static override properties = { simulations: { attribute: false } };

  declare simulations: Simulation[];

  override render() {
    return this.simulations.map(({ userId, decisions }) => {
      const requested = decisions.filter(({ reason }) => reason !== NOT_REQUESTED);
      const notRequested = decisions.filter(({ reason }) => reason === NOT_REQUESTED);
      return html`
        <div>
          <table>
            <caption>
              ${userId}
            </caption>
            <thead>
              <tr>
                <th scope="col">Channel</th>
                <th scope="col">Would send</th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              ${requested.map(({ channel, outcome, reason, dueAt }) => {
                const sends = outcome !== "SKIPPED";
                const answer = outcome === "HELD" ? "Later" : sends ? "Yes" : "No";
                return html`<tr>
                  <th scope="row">${channelLabel(channel)}</th>
                  <td><span class="badge ${sends ? "good" : "bad"}">${answer}</span></td>
                  <td class="quiet" title=${reason ?? outcome}>
                    ${reason ? reasonLabel(reason) : outcome === "ACCEPTED" ? "All checks passed" : codeLabel(outcome)}
                    ${dueAt ? html`<br />${new Date(dueAt).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}` : nothing}
                  </td>
                </tr>`;
              })}
            </tbody>
          </table>
          ${notRequested.length
            ? html`<p class="small quiet">
                Not requested: ${notRequested.map(({ channel }) => channelLabel(channel)).join(", ")}.
              </p>`
            : nothing}
        </div>
      `;
    });
  }
}

customElements.define("demo-simulation", DemoSimulation);
