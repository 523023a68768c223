/** The dialogs of the preferences. This file contains those that remove a device and answer "Why did I get this?". */
import { html, nothing, type TemplateResult } from "lit";
import { chatDialog } from "./chats";
import { collectDialog } from "./collect-dialog";
import { deviceName } from "./devices";
import { bellOff } from "./icons";
import { muteDialog } from "./mutes";
import type { Explanation } from "../../../client/src/preferences/operations";
import { doNotDisturbDialog, quietDialog } from "./quiet-dialog";
import type { DialogState, SectionProps } from "./types";
import { browserZone, zoneName, zoneNote } from "./zones";

export function renderDialog(dialog: DialogState, props: SectionProps, close: () => void): TemplateResult {
  const { t, i18n, store } = props;
  if (dialog.kind === "mute") return muteDialog(dialog.category, props, close);
  if (dialog.kind === "disturb") return doNotDisturbDialog(props, close);
  if (dialog.kind === "chat") return chatDialog(dialog, props, close);
  if (dialog.kind === "collect") return collectDialog(dialog, props, close);
  if (dialog.kind === "quiet") return quietDialog(dialog, props, close);
  if (dialog.kind === "remove") {
    const { device } = dialog;
    return html`<h2 id="dialog-title">${t("removeTitle", { device: deviceName(device, i18n) })}</h2>
      <p class="muted-text">${t("removeHint")}</p>
      <div class="choices side">
        <button class="button" autofocus @click=${close}>${t("cancel")}</button>
        <button class="button danger" @click=${() => (close(), store.remove(device.id), props.focusHeading("devices"))}>
          ${t("remove")}
        </button>
      </div>`;
  }
  return html`<h2 id="dialog-title">${t("why")}</h2>
    ${dialog.explanation === undefined
      ? html`<p class="muted-text" role="status">${t("loading")}</p>`
      : dialog.explanation
        ? explain(dialog.explanation, props, close)
        : html`<p class="muted-text">${t("whyGone")}</p>`}
    <div class="choices side"><button class="button" autofocus @click=${close}>${t("close")}</button></div>`;
}

function explain(explanation: Explanation, props: SectionProps, close: () => void): TemplateResult {
  const { t, i18n, now, timezone, openDialog } = props;
  const here = zoneNote(timezone) && ` (${zoneName(browserZone())})`; // of the times in this dialog
  const row = props.matrix.categories.find(({ category }) => category.key === explanation.category);
  const named = { category: row?.category.name ?? explanation.category };
  return html`<p class="title" dir="auto">${explanation.title}</p>
    <p dir="auto">${explanation.because}</p>
    <p class="muted-text">${named.category} · ${t("when", { time: i18n.ago(explanation.createdAt, now) })}</p>
    <dl>
      ${rowsOf(explanation).map(({ channels, status, reason, dueAt }) => {
        const cells = row?.channels.filter(({ channel }) => channels.has(channel)) ?? [];
        const chosen = reason === "DIGEST" && cells.some(({ digest, digestAt }) => digest || digestAt);
        return html`<dt>${i18n.list([...channels].map((channel) => i18n.label(channel)))}</dt>
          <dd>
            ${i18n.label(`STATUS_${status}`)}${dueAt ? html` · ${t("expected", { time: i18n.when(dueAt, now) + here })}` : nothing}
            ${reason ? html`<p class="muted-text">${chosen ? t("digestChosen") : i18n.label(reason)}</p>` : nothing}
          </dd>`;
      })}
    </dl>
    ${row?.category.required
      ? html`<p class="muted-text">${t("required")}</p>`
      : row?.mutedUntil
        ? html`<p class="muted-text">${t("whyMuted", named)}</p>`
        : row
          ? html`<div class="choices">
              <button
                class="button"
                aria-haspopup="dialog"
                @click=${() => (close(), openDialog({ kind: "mute", category: row.category }))}
              >
                ${bellOff} ${t("muteTitle", named)}
              </button>
            </div>`
          : nothing}`;
}

/** Deliveries with the same explanation are one row. Channels that nobody asked for are last. */
function rowsOf({ deliveries }: Explanation) {
  const rows = new Map<string, Omit<Explanation["deliveries"][number], "channel"> & { channels: Set<string> }>();
  for (const delivery of deliveries) {
    const key = [delivery.status, delivery.reason, delivery.dueAt].join();
    const row = rows.get(key) ?? { ...delivery, channels: new Set() };
    rows.set(key, row);
    row.channels.add(delivery.channel);
  }
  const isLast = ({ reason }: { reason: string | null }) => Number(reason === "NOT_REQUESTED");
  return [...rows.values()].sort((a, b) => isLast(a) - isLast(b));
}
