/** Where categories can arrive, and what the table shows where they cannot. */
import { html, nothing, type TemplateResult } from "lit";
import type { Cell, Channel, Matrix } from "../../../client/src/preferences/operations";
import type { SectionProps } from "./types";

const SHORT = { NO_ADDRESS: "noAddress", NOT_USED: "notUsed" } as const;

/** Return the matrix without the channels on which no category could arrive, whatever addresses the user had. */
export function withoutUnreachable(matrix: Matrix): Matrix {
  const shown = new Set(
    matrix.categories.flatMap(({ channels }) =>
      channels.filter(({ reach }) => reach === "OK" || reach === "NO_ADDRESS").map(({ channel }) => channel),
    ),
  );
  const isShown = ({ channel }: { channel: Channel }): boolean => shown.has(channel);
  return {
    ...matrix,
    channels: matrix.channels.filter(isShown),
    categories: matrix.categories.map((row) => ({ ...row, channels: row.channels.filter(isShown) })),
  };
}

/** Return false if the user has no address or device for a channel. */
export const hasAddress = ({ categories }: Matrix, channel: Channel): boolean =>
  !categories.some((row) => row.channels.some((cell) => cell.channel === channel && cell.reach === "NO_ADDRESS"));

/** Return the reason why a category cannot arrive, in a few words, and as a sentence for screen readers. */
export function reason(props: SectionProps, { channel, reach }: Cell): TemplateResult {
  const { t, i18n } = props;
  const sentence = i18n.label(reach);
  const short = Object.hasOwn(SHORT, reach) ? t(SHORT[reach as keyof typeof SHORT]) : sentence;
  return html`<span class="muted-text" title=${sentence}>
      <span aria-hidden="true">${short}</span><span class="hidden">${sentence}</span>
    </span>
    ${reach === "NO_ADDRESS" ? html`<span class="narrow">${setUp(props, channel)}</span>` : nothing}`;
}

/** Return the button to add an address or a device. */
export const setUp = ({ t, i18n, addAddress }: SectionProps, channel: Channel): TemplateResult =>
  html`<button class="button" aria-label=${t("setUpTitle", { channel: i18n.label(channel) })} @click=${() => addAddress(channel)}>
    ${t("setUp")}
  </button>`;
