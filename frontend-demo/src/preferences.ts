/** What `/preferences.js` brings to a page. */
import { HubPreferences } from "./preferences/element";
import { HubPush } from "./push/enable";

export { HubPreferences, HubPush };

if (!customElements.get("hub-push")) customElements.define("hub-push", HubPush);
if (!customElements.get("hub-preferences")) customElements.define("hub-preferences", HubPreferences);

declare global {
  interface HTMLElementTagNameMap {
    "hub-preferences": HubPreferences;
    "hub-push": HubPush;
  }
}
