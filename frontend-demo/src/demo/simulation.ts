/** What would become of a send: a yes or no for each person and channel, with the reason. */
import { LitElement, css, html, nothing } from "lit";
import { look } from "./look";
import { channelName, reasonText, statusName } from "./names";
import type { Simulation } from "./service";

const NOT_ASKED_FOR = "NOT_REQUESTED";

export class DemoSimulation extends LitElement {
  static override styles = [
    look,
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
      const asked = decisions.filter(({ reason }) => reason !== NOT_ASKED_FOR);
      const others = decisions.filter(({ reason }) => reason === NOT_ASKED_FOR);
      return html`
        <div>
          <table>
            <caption>
              ${userId}
            </caption>
            <thead>
              <tr>
                <th scope="col">Channel</th>
                <th scope="col">Goes out</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              ${asked.map(({ channel, outcome, reason }) => {
                const goes = outcome !== "SKIPPED";
                return html`<tr>
                  <th scope="row">${channelName(channel)}</th>
                  <td><span class="badge ${goes ? "good" : "bad"}">${goes ? "Yes" : "No"}</span></td>
                  <td class="quiet" title=${reason ?? outcome}>
                    ${reason ? reasonText(reason) : outcome === "ACCEPTED" ? "Nothing speaks against it" : statusName(outcome)}
                  </td>
                </tr>`;
              })}
            </tbody>
          </table>
          ${others.length
            ? html`<p class="small quiet">
                Not asked for: ${others.map(({ channel }) => channelName(channel)).join(", ")}.
              </p>`
            : nothing}
        </div>
      `;
    });
  }
}

customElements.define("demo-simulation", DemoSimulation);
