/** The topics that the user follows, and those that the user left. */
import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Subscription } from "../../../client/src/preferences/operations";
import type { Section, SectionProps } from "./types";

/** The number of topics that are shown without opening the list of the others. */
const SHOWN = 8;

export const topics: Section = (props) => {
  const { topics, t, i18n } = props;
  if (!topics.length) return nothing;
  const rest = topics.slice(SHOWN);
  return html`<section aria-labelledby="topics">
    <h2 id="topics">${t("topics")}</h2>
    <p class="muted-text lead">${t("topicsHint")}</p>
    ${list(props, topics.slice(0, SHOWN))}
    ${rest.length
      ? html`<details>
          <summary>${t("topicsMore", { count: i18n.number(rest.length) })}</summary>
          ${list(props, rest)}
        </details>`
      : nothing}
  </section>`;
};

const list = (props: SectionProps, shown: Subscription[]): TemplateResult =>
  html`<ul>
    ${repeat(
      shown,
      ({ topic }) => topic.key,
      (subscription) => topicRow(props, subscription),
    )}
  </ul>`;

function topicRow({ store, i18n, t, now, showMessage }: SectionProps, { topic, leftAt }: Subscription): TemplateResult {
  const named = { topic: topic.name };
  const change = async (): Promise<void> => {
    const saved = await store.setLeft(topic.key, leftAt ? null : new Date(now).toISOString());
    if (saved) showMessage(t(leftAt ? "rejoined" : "left", named));
  };
  return html`<li class="row">
    <div class="grow">
      <strong><bdi>${topic.name}</bdi></strong>
      ${topic.description ? html`<p class="muted-text"><bdi>${topic.description}</bdi></p>` : nothing}
      ${leftAt ? html`<p class="muted-text">${t("leftAt", { time: i18n.ago(leftAt, now) })}</p>` : nothing}
    </div>
    <button class="button" aria-label=${t(leftAt ? "rejoinTitle" : "leaveTitle", named)} @click=${change}>
      ${t(leftAt ? "rejoin" : "leave")}
    </button>
  </li>`;
}
