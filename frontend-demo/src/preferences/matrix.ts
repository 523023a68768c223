/** The preferences as a table with one row per category and one switch per channel. */
import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { bell, bellOff, lock } from "./icons";
import { muteLabel } from "./mutes";
import type { Row } from "./operations";
import type { Section, SectionProps } from "./types";

export const matrix: Section = (props) => {
  const { matrix, t, i18n, store } = props;
  if (!matrix.categories.length) return html`<p class="empty">${t("empty")}</p>`;
  return html`<section aria-labelledby="matrix">
    <h2 id="matrix" tabindex="-1">${t("matrix")}</h2>
    <div class="scroll">
      <table role="table" aria-labelledby="matrix">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">${t("category")}</th>
            ${matrix.channels.map(({ channel }) => html`<th role="columnheader" scope="col">${i18n.label(channel)}</th>`)}
            <th role="columnheader" scope="col"><span class="hidden">${t("mute")}</span></th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          <tr role="row" class="everything">
            <th role="rowheader" scope="row">
              <span class="name">${t("everything")}</span>
              <span class="muted-text">${t("everythingHint")}</span>
            </th>
            ${matrix.channels.map(
              ({ channel, enabled }) =>
                html`<td role="cell" data-channel=${i18n.label(channel)}>
                  ${toggle(
                    t("cell", { channel: i18n.label(channel), category: t("everything") }),
                    enabled,
                    () => store.switchChannel(channel, !enabled),
                  )}
                </td>`,
            )}
            <td role="cell" class="end"></td>
          </tr>
          ${repeat(
            matrix.categories,
            ({ category }) => category.key,
            (row) => categoryRow(props, row),
          )}
        </tbody>
      </table>
    </div>
  </section>`;
};

function categoryRow(props: SectionProps, { category, channels: cells, mutedUntil }: Row): TemplateResult {
  const { matrix, t, i18n, store, now } = props;
  const named = { category: category.name };
  return html`<tr role="row" class=${mutedUntil ? "muted" : ""}>
    <th role="rowheader" scope="row">
      <span class="name"><bdi>${category.name}</bdi></span>
      ${category.description ? html`<span class="muted-text"><bdi>${category.description}</bdi></span>` : nothing}
      ${category.required ? html`<span class="note">${lock} ${t("required")}</span>` : nothing}
      ${mutedUntil ? html`<span class="note">${bellOff} ${muteLabel(i18n, mutedUntil, now)}</span>` : nothing}
    </th>
    ${cells.map(({ channel, enabled, locked }) => {
      const name = t("cell", { channel: i18n.label(channel), ...named });
      const off = !matrix.channels.find((setting) => setting.channel === channel)?.enabled;
      const reason = locked ? t("required") : off ? t("channelOff", { channel: i18n.label(channel) }) : "";
      return html`<td role="cell" data-channel=${i18n.label(channel)}>
        ${toggle(
          name,
          enabled && (locked || !off),
          () => (reason ? props.showMessage(reason) : store.switchCell(category.key, channel, !enabled)),
          reason,
          locked,
        )}
      </td>`;
    })}
    <td role="cell" class="end">
      ${category.required
        ? nothing
        : html`<button
            class="button"
            aria-label=${t(mutedUntil ? "unmuteTitle" : "muteTitle", named)}
            aria-haspopup=${mutedUntil ? nothing : "dialog"}
            @click=${() => (mutedUntil ? store.mute(category.key, null) : props.openDialog({ kind: "mute", category }))}
          >
            ${mutedUntil ? bell : bellOff} ${t(mutedUntil ? "unmute" : "mute")}
          </button>`}
    </td>
  </tr>`;
}

/** A switch. `reason` is the reason why it cannot be changed. It can still be focused, and a press shows the reason. */
function toggle(name: string, on: boolean, change: () => void, reason = "", locked = false): TemplateResult {
  return html`<button
    class="switch"
    role="switch"
    aria-label=${name}
    aria-checked=${on}
    aria-disabled=${reason ? "true" : nothing}
    title=${reason || nothing}
    @click=${change}
  >
    <span class="track"><span class="knob">${locked ? lock : nothing}</span></span>
  </button>`;
}
