/**
 * The preferences as a table with one row per category and one switch per channel. On a narrow page, a row is one line
 * that opens.
 */
import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { bell, bellOff, chevron, lock } from "./icons";
import { muteLabel } from "./mutes";
import type { Cell, Row } from "../../../client/src/preferences/operations";
import { hasAddress, reason, setUp } from "./reach";
import type { Section, SectionProps } from "./types";

/** The key of the row for all notifications. */
const EVERYTHING = "";

export const matrix: Section = (props) => {
  const { matrix, t, i18n } = props;
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
          ${everythingRow(props)}
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

function everythingRow(props: SectionProps): TemplateResult {
  const { matrix, t, i18n, store, isOpen } = props;
  const on = matrix.channels.filter(({ channel, enabled }) => enabled && hasAddress(matrix, channel));
  return html`<tr role="row" class=${isOpen(EVERYTHING) ? "everything open" : "everything"}>
    <th role="rowheader" scope="row">
      ${line(props, EVERYTHING, t("everything"), channelNames(props, on))}
      <span class="name wide">${t("everything")}</span>
      <span class="muted-text details">${t("everythingHint")}</span>
    </th>
    ${matrix.channels.map(({ channel, enabled }) => {
      const name = t("cell", { channel: i18n.label(channel), category: t("everything") });
      return html`<td role="cell" data-channel=${i18n.label(channel)}>
        ${hasAddress(matrix, channel)
          ? toggle(name, enabled, () => store.switchChannel(channel, !enabled))
          : setUp(props, channel)}
      </td>`;
    })}
    <td role="cell" class="end"></td>
  </tr>`;
}

function categoryRow(props: SectionProps, { category, channels: cells, mutedUntil }: Row): TemplateResult {
  const { t, i18n, store, now, isOpen } = props;
  const named = { category: category.name };
  const muted = mutedUntil ? muteLabel(i18n, mutedUntil, now) : "";
  const on = cells.filter((cell) => cell.reach === "OK" && isOn(props, cell));
  return html`<tr role="row" class=${[isOpen(category.key) ? "open" : "", muted ? "muted" : ""].join(" ")}>
    <th role="rowheader" scope="row">
      ${line(props, category.key, category.name, muted || channelNames(props, on), category.required ? lock : muted ? bellOff : nothing)}
      <span class="name wide"><bdi>${category.name}</bdi></span>
      ${category.description ? html`<span class="muted-text details"><bdi>${category.description}</bdi></span>` : nothing}
      ${category.required ? html`<span class="note details">${lock} ${t("required")}</span>` : nothing}
      ${muted ? html`<span class="note wide">${bellOff} ${muted}</span>` : nothing}
    </th>
    ${cells.map(
      (cell) =>
        html`<td role="cell" data-channel=${i18n.label(cell.channel)}>
          ${cell.reach === "OK" ? categorySwitch(props, category, cell) : reason(props, cell)}
        </td>`,
    )}
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

/** The line that opens a row on a narrow page. `summary` is what the closed row says. */
function line(
  { isOpen, toggle }: SectionProps,
  key: string,
  name: string,
  summary: string,
  icon: TemplateResult | typeof nothing = nothing,
): TemplateResult {
  return html`<button class="line" aria-expanded=${isOpen(key)} @click=${() => toggle(key)}>
    <span class="grow">
      <span class="name"><bdi>${name}</bdi></span>
      <span class="muted-text summary">${icon} ${summary}</span>
    </span>
    ${chevron}
  </button>`;
}

const channelNames = ({ i18n, t }: SectionProps, channels: Pick<Cell, "channel">[]): string =>
  channels.length ? i18n.list(channels.map(({ channel }) => i18n.label(channel))) : t("off");

const isChannelOff = ({ matrix }: SectionProps, { channel }: Cell): boolean =>
  !matrix.channels.find((setting) => setting.channel === channel)?.enabled;

const isOn = (props: SectionProps, cell: Cell): boolean => cell.enabled && (cell.locked || !isChannelOff(props, cell));

function categorySwitch(props: SectionProps, category: Row["category"], cell: Cell): TemplateResult {
  const { t, i18n, store } = props;
  const { channel, enabled, locked } = cell;
  const named = { channel: i18n.label(channel), category: category.name };
  const reason = locked ? t("required") : isChannelOff(props, cell) ? t("channelOff", named) : "";
  return toggle(
    t("cell", named),
    isOn(props, cell),
    () => (reason ? props.showMessage(reason) : store.switchCell(category.key, channel, !enabled)),
    reason,
    locked,
  );
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
