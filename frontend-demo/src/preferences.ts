/** What `/preferences.js` brings to a page. */
import { define } from "./page";
import { HubPreferences } from "./preferences/element";
import { HubPush } from "./push/enable";

export { HubPreferences, HubPush };

define("hub-push", HubPush);
define("hub-preferences", HubPreferences);

declare global {
  interface HTMLElementTagNameMap {
    "hub-preferences": HubPreferences;
    "hub-push": HubPush;
  }
}
