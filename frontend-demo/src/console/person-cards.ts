/** The cards next to the timeline of a person. */
import { html, nothing } from "lit";
import { timeOf } from "./format";
import type { Person, Suppression } from "./operations";
import { facts, suppressionReason } from "./parts";
import { isHidden } from "./roles";
import { channelName } from "./labels";

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const REACH: Record<string, string> = {
  NO_ADDRESS: "no address or device, or it is suppressed",
  NOT_CONFIGURED: "not set up on this hub",
  NOT_USED: "no send of the category uses it",
};

type Preferences = Person["preferences"];
type ChannelPreference = Preferences["categories"][number]["channels"][number];

export function profileCard(person: Person) {
  const attributes = person.attributes && !isHidden(person.attributes as string) && Object.keys(person.attributes).length ? JSON.stringify(person.attributes, null, 2) : "";
  return html`<section class="card" aria-labelledby="profile">
    <h2 id="profile">Profile</h2>
    ${facts([
      ["Id", html`<code>${person.id}</code>`],
      ["Language", person.locale],
      ["Time zone", person.timezone],
      ["Created", timeOf(person.createdAt)],
      ["Topics", person.topics.join(", ")],
    ])}
    ${attributes
      ? html`<details><summary>Attributes</summary><pre tabindex="0" aria-label="Attributes">${attributes}</pre></details>`
      : nothing}
  </section>`;
}

/** `suppressions` is null if the caller may not read them, and undefined while they are read. */
export function addressCard(person: Person, suppressions: readonly Suppression[] | null | undefined) {
  const reasonOf = (value: string) => suppressions?.find(({ address }) => address === value.toLowerCase())?.reason;
  const value = (text: string | null, missing: string) =>
    text
      ? html`<bdi>${text}</bdi> ${suppressionBadge(reasonOf(text))}`
      : html`<span class="quiet">${missing}</span>`;
  return html`<section class="card" aria-labelledby="addresses">
    <h2 id="addresses">Addresses and devices</h2>
    ${facts([
      ["Email", value(person.email, "no address")],
      ["Phone", value(person.phone, "no number")],
      ...person.devices.map(
        (device) =>
          [
            deviceName(device),
            html`<bdi>${(!isHidden(device.label) && device.label) || (!isHidden(device.maskedUrl) && device.maskedUrl) || html`<code>${device.id}</code>`}</bdi>
              <span class="quiet small"
                >${device.lastUsedAt ? html`reached ${timeOf(device.lastUsedAt)}` : html`added ${timeOf(device.createdAt)}`}</span
              >`,
          ] as const,
      ),
    ])}
    ${person.devices.length ? nothing : html`<p class="quiet small">No browsers, apps, chats, or personal webhooks.</p>`}
    ${otherSuppressions(person, suppressions)}
    ${suppressions === null
      ? html`<p class="quiet small">Your role does not see suppressed addresses.</p>`
      : nothing}
  </section>`;
}

function otherSuppressions(person: Person, suppressions: readonly Suppression[] | null | undefined) {
  const current = [person.email, person.phone].map((text) => text?.toLowerCase());
  const others = (suppressions ?? []).filter(({ address }) => !current.includes(address));
  if (!others.length) return nothing;
  return html`<h3>Also suppressed</h3>
    <ul>${others.map(({ address, reason }) => html`<li><bdi>${address}</bdi> ${suppressionBadge(reason)}</li>`)}</ul>`;
}

const suppressionBadge = (reason: string | undefined) =>
  reason ? html`<span class="badge bad">suppressed: ${suppressionReason(reason)}</span>` : nothing;

function deviceName({ kind, platform }: Person["devices"][number]): string {
  if (kind !== "MOBILE_PUSH") return kind === "WEB_PUSH" ? "Browser" : channelName(kind);
  return platform === "apns" ? "App (Apple)" : "App (Android)";
}

export function preferencesCard({ preferences }: Person) {
  const off = preferences.channels.filter(({ enabled }) => !enabled).map(({ channel }) => channelName(channel));
  return html`<section class="card" aria-labelledby="preferences">
    <h2 id="preferences">Preferences</h2>
    ${facts([
      ["Turned off", off.join(", ") || html`<span class="quiet">no channel</span>`],
      ["Quiet hours", quietTimes(preferences)],
      ["Do not disturb", preferences.doNotDisturbUntil ? html`until ${timeOf(preferences.doNotDisturbUntil)}` : nothing],
      ["Daily limit", preferences.dailyLimit ? `${preferences.dailyLimit} per day` : nothing],
    ])}
    <ul class="categories">
      ${preferences.categories.map(
        ({ category, channels, mutedUntil }) => html`<li>
          <b>${category.name}</b>
          ${category.required ? html`<span class="quiet small">required</span>` : nothing}
          ${mutedUntil ? html`<span class="badge wait">muted until ${timeOf(mutedUntil)}</span>` : nothing}
          <span class="chips">${channels.filter(({ reach }) => reach !== "NOT_USED").map(channelPreference)}</span>
        </li>`,
      )}
    </ul>
  </section>`;
}

function channelPreference({ channel, enabled, reach, digest, digestAt }: ChannelPreference) {
  const gathered = digestAt ? `, gathered until ${digestAt}` : digest && digest !== "PT0S" ? `, gathered for ${digest}` : "";
  const state = enabled ? (REACH[reach] ?? "on") : "off";
  const tone = !enabled ? "quiet" : reach === "OK" ? "good" : "wait";
  return html`<span class="chip ${tone}" title="${channelName(channel)}: ${state}${gathered}"
    >${channelName(channel)} <span class="chip-status">${enabled ? (reach === "OK" ? "on" : "on, no way to reach") : "off"}${gathered}</span></span
  >`;
}

function quietTimes({ quietSchedule }: Preferences) {
  if (!quietSchedule.length) return nothing;
  return quietSchedule.map(
    ({ start, end, timezone, days, allow }) => html`<div>
      ${start}–${end} ${timezone}${days.length < 7 ? `, ${days.map((day) => WEEKDAYS[day - 1]).join(" ")}` : ""}
      <span class="quiet small">except ${allow.toLowerCase()}${allow === "CRITICAL" ? "" : " and higher"}</span>
    </div>`,
  );
}
