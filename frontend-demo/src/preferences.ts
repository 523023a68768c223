/** The exports of `/preferences.js`: `<hub-preferences>` and `<hub-push>`. */
import { define } from "./page";
import { HubPreferences } from "./preferences/hub-preferences";
import { HubPush } from "./push/push-toggle";

export { HubPreferences, HubPush };

define("hub-push", HubPush);
define("hub-preferences", HubPreferences);

declare global {
  interface HTMLElementTagNameMap {
    "hub-preferences": HubPreferences;
    "hub-push": HubPush;
  }
}
