/** What is muted now, and until when. */
import { html, nothing } from "lit";
import { bell } from "./icons";
import type { Section } from "./section";

export const mutes: Section = ({ matrix, phrases, say, wishes, focus }) => {
  const muted = matrix.categories.filter(({ mutedUntil }) => mutedUntil);
  if (!muted.length) return nothing;
  return html`<section aria-labelledby="mutes">
    <h2 id="mutes">${say("muted")}</h2>
    <ul>
      ${muted.map(
        ({ category, mutedUntil }) =>
          html`<li class="row">
            <div class="grow">
              <strong><bdi>${category.name}</bdi></strong>
              <p class="soft">${phrases.mutedUntil(mutedUntil!)}</p>
            </div>
            <button
              class="button"
              aria-label=${say("unmuteTitle", { category: category.name })}
              @click=${() => (wishes.mute(category.key, null), focus("matrix"))}
            >
              ${bell} ${say("unmute")}
            </button>
          </li>`,
      )}
    </ul>
  </section>`;
};
