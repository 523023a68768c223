/** Where a person is reached beside mail and phone number: what was connected, and push to this browser. */
import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Device } from "./operations";
import type { Section } from "./section";
import type { Phrases } from "./phrases";

export const nameOf = ({ label, kind }: Device, say: Phrases["say"]): string =>
  label || say(["WEB_PUSH", "MOBILE_PUSH"].includes(kind) ? `${kind}_DEVICE` : kind);

export const devices: Section = ({ devices, phrases, say, here, open }) => html`
  ${devices.length
    ? html`<ul>
        ${repeat(
          devices,
          ({ id }) => id,
          (device) =>
            html`<li class="row">
              <div class="grow">
                <strong><bdi>${nameOf(device, say)}</bdi></strong>
                ${device.id === here ? html`<span class="badge">${say("here")}</span>` : nothing}
                <p class="soft">
                  ${say("added", { time: phrases.ago(device.createdAt) })}${device.lastUsedAt
                    ? html` · ${say("used", { time: phrases.ago(device.lastUsedAt) })}`
                    : nothing}
                </p>
              </div>
              <button
                class="button"
                aria-label=${say("removeTitle", { device: nameOf(device, say) })}
                aria-haspopup="dialog"
                @click=${() => open({ kind: "remove", device })}
              >
                ${say("remove")}
              </button>
            </li>`,
        )}
      </ul>`
    : html`<p class="empty">${say("noDevices")}</p>`}
`;
