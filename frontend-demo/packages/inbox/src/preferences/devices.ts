/** The user's devices: the browsers, apps, webhooks, and chats to which notifications are sent. */
import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { PreferencesI18n } from "../locales/preferences";
import type { Device } from "../../../client/src/preferences/operations";
import type { Section } from "./types";

export const deviceName = ({ label, kind }: Device, i18n: PreferencesI18n): string =>
  label || i18n.label(["WEB_PUSH", "MOBILE_PUSH"].includes(kind) ? `${kind}_DEVICE` : kind);

/** The name in the button that removes a device. The URL distinguishes chats of the same kind. */
const fullName = (device: Device, i18n: PreferencesI18n): string =>
  [deviceName(device, i18n), device.maskedUrl].filter(Boolean).join(", ");

export const devices: Section = ({ chats, devices, i18n, t, now, thisDevice, openDialog }) => html`
  ${devices.length
    ? html`<ul>
        ${repeat(
          devices,
          ({ id }) => id,
          (device) =>
            html`<li class="row">
              <div class="grow">
                <strong><bdi>${deviceName(device, i18n)}</bdi></strong>
                ${device.id === thisDevice ? html`<span class="badge">${t("here")}</span>` : nothing}
                <p class="muted-text">
                  ${device.maskedUrl ? html`<bdi>${device.maskedUrl}</bdi> · ` : nothing}${t("added", { time: i18n.ago(device.createdAt, now) })}${device.lastUsedAt
                    ? html` · ${t("used", { time: i18n.ago(device.lastUsedAt, now) })}`
                    : nothing}
                </p>
              </div>
              <button
                class="button"
                aria-label=${t("removeTitle", { device: fullName(device, i18n) })}
                aria-haspopup="dialog"
                @click=${() => openDialog({ kind: "remove", device })}
              >
                ${t("remove")}
              </button>
            </li>`,
        )}
      </ul>`
    : html`<p class="empty">${t("noDevices")}</p>`}
  ${chats.length
    ? html`<button class="button below" aria-haspopup="dialog" @click=${() => openDialog({ kind: "chat" })}>
        ${t("chatAdd")}
      </button>`
    : nothing}
`;
