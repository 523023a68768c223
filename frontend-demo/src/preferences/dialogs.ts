/** What a dialog shows: how long to mute, whether to remove, and why something came. */
import { html, nothing, type TemplateResult } from "lit";
import { nameOf } from "./devices";
import { bellOff } from "./icons";
import type { Explained } from "./operations";
import type { Asked, View } from "./section";
import { FOR_EVER } from "./wishes";

/** `close` ends it. */
export function dialog(asked: Asked, view: View, close: () => void): TemplateResult {
  if (asked.kind === "mute") return mute(asked.category, view, close);
  if (asked.kind === "remove") {
    const { device } = asked;
    return html`<h2 id="asked">${view.say("removeTitle", { device: nameOf(device, view.say) })}</h2>
      <p class="soft">${view.say("removeHint")}</p>
      <div class="choices side">
        <button class="button" autofocus @click=${close}>${view.say("cancel")}</button>
        <button class="button danger" @click=${() => (close(), view.wishes.remove(device.id), view.focus("devices"))}>
          ${view.say("remove")}
        </button>
      </div>`;
  }
  return html`<h2 id="asked">${view.say("why")}</h2>
    ${asked.told === undefined
      ? html`<p class="soft" role="status">${view.say("loading")}</p>`
      : asked.told
        ? why(asked.told, view, close)
        : html`<p class="soft">${view.say("whyGone")}</p>`}
    <div class="choices side"><button class="button" autofocus @click=${close}>${view.say("close")}</button></div>`;
}

function mute({ key, name }: { key: string; name: string }, view: View, close: () => void): TemplateResult {
  return html`<h2 id="asked">${view.say("muteTitle", { category: name })}</h2>
    <p class="soft">${view.say("muteHint")}</p>
    <div class="choices">
      ${view.phrases
        .mutes()
        .map(
          ([words, until]) =>
            html`<button class="button" @click=${() => (close(), view.wishes.mute(key, until))}>${words}</button>`,
        )}
      <button class="button quiet" @click=${close}>${view.say("cancel")}</button>
    </div>`;
}

function why(told: Explained, view: View, close: () => void): TemplateResult {
  const { say, phrases } = view;
  const row = view.matrix.categories.find(({ category }) => category.key === told.category);
  const named = { category: row?.category.name ?? told.category };
  return html`<p class="title" dir="auto">${told.title}</p>
    <p dir="auto">${told.because}</p>
    <p class="soft">${named.category} · ${say("when", { time: phrases.ago(told.createdAt) })}</p>
    <dl>
      ${told.deliveries.map(
        ({ channel, status, reason }) =>
          html`<dt>${say(channel)}</dt>
            <dd class=${status === "SKIPPED" || status === "FAILED" ? "soft" : ""}>
              ${say(status)}${reason && reason !== status ? html`: ${say(reason)}` : nothing}
            </dd>`,
      )}
    </dl>
    ${row?.category.required
      ? html`<p class="soft">${say("required")}</p>`
      : row?.mutedUntil
        ? html`<p class="soft">${say("whyMuted", named)}</p>`
        : row
          ? html`<div class="choices">
              <button
                class="button"
                @click=${async () => {
                  close();
                  if (await view.wishes.mute(told.category, FOR_EVER)) view.tell(say("whyMuted", named));
                }}
              >
                ${bellOff} ${say("whyMute", named)}
              </button>
            </div>`
          : nothing}`;
}
