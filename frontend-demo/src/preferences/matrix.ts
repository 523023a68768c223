/** What reaches a person, and where: a row for each category, a switch for each channel. */
import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { bell, bellOff, lock } from "./icons";
import type { Matrix, Row } from "./operations";
import type { Section, View } from "./section";

export const matrix: Section = (view) => {
  const { phrases, matrix } = view;
  const { say } = view;
  if (!matrix.categories.length) return html`<p class="empty">${say("empty")}</p>`;
  return html`<section aria-labelledby="matrix">
    <h2 id="matrix" tabindex="-1">${say("matrix")}</h2>
    <div class="scroll">
      <table role="table" aria-labelledby="matrix">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">${say("category")}</th>
            ${matrix.channels.map(({ channel }) => html`<th role="columnheader" scope="col">${say(channel)}</th>`)}
            <th role="columnheader" scope="col"><span class="unseen">${say("mute")}</span></th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          <tr role="row" class="everything">
            <th role="rowheader" scope="row">
              <span class="name">${say("everything")}</span>
              <span class="soft">${say("everythingHint")}</span>
            </th>
            ${matrix.channels.map(
              ({ channel, enabled }) =>
                html`<td role="cell" data-channel=${say(channel)}>
                  ${toggle(
                    say("cell", { channel: say(channel), category: say("everything") }),
                    enabled,
                    () => view.wishes.switchChannel(channel, !enabled),
                  )}
                </td>`,
            )}
            <td role="cell" class="end"></td>
          </tr>
          ${repeat(
            matrix.categories,
            ({ category }) => category.key,
            (row) => categoryRow(view, matrix, row),
          )}
        </tbody>
      </table>
    </div>
  </section>`;

  function categoryRow(view: View, { channels }: Matrix, { category, channels: cells, mutedUntil }: Row): TemplateResult {
    const named = { category: category.name };
    return html`<tr role="row" class=${mutedUntil ? "muted" : ""}>
      <th role="rowheader" scope="row">
        <span class="name"><bdi>${category.name}</bdi></span>
        ${category.description ? html`<span class="soft"><bdi>${category.description}</bdi></span>` : nothing}
        ${category.required ? html`<span class="mark">${lock} ${say("required")}</span>` : nothing}
        ${mutedUntil ? html`<span class="mark">${bellOff} ${phrases.mutedUntil(mutedUntil)}</span>` : nothing}
      </th>
      ${cells.map(({ channel, enabled, locked }) => {
        const name = say("cell", { channel: say(channel), ...named });
        const off = !channels.find((one) => one.channel === channel)?.enabled;
        const why = locked ? say("required") : off ? say("channelOff", { channel: say(channel) }) : "";
        return html`<td role="cell" data-channel=${say(channel)}>
          ${toggle(
            name,
            enabled && (locked || !off),
            () => (why ? view.tell(why) : view.wishes.switchCell(category.key, channel, !enabled)),
            why,
            locked,
          )}
        </td>`;
      })}
      <td role="cell" class="end">
        ${category.required
          ? nothing
          : html`<button
              class="button"
              aria-label=${say(mutedUntil ? "unmuteTitle" : "muteTitle", named)}
              aria-haspopup=${mutedUntil ? nothing : "dialog"}
              @click=${() => (mutedUntil ? view.wishes.mute(category.key, null) : view.open({ kind: "mute", category }))}
            >
              ${mutedUntil ? bell : bellOff} ${say(mutedUntil ? "unmute" : "mute")}
            </button>`}
      </td>
    </tr>`;
  }
};

/** `why`: what speaks against changing it. It stays in the order of the keys then, and says so. */
function toggle(name: string, on: boolean, change: () => void, why = "", locked = false): TemplateResult {
  return html`<button
    class="switch"
    role="switch"
    aria-label=${name}
    aria-checked=${on}
    aria-disabled=${why ? "true" : nothing}
    title=${why || nothing}
    @click=${change}
  >
    <span class="track"><span class="knob">${locked ? lock : nothing}</span></span>
  </button>`;
}
