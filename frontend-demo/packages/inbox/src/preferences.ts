/** The exports of `/preferences.js`: `<hub-preferences>` and `<hub-push>`. */
import type { HubPreferencesElement, HubPushElement } from "./elements.js";
import { define } from "./page";
import { HubPreferences as Preferences } from "./preferences/hub-preferences";
import { HubPush as Push } from "./push/push-toggle";

export type * from "./elements.js";
export type HubPreferences = HubPreferencesElement;
export type HubPush = HubPushElement;
export const HubPreferences: new () => HubPreferencesElement = Preferences;
export const HubPush: new () => HubPushElement = Push;

define("hub-push", HubPush);
define("hub-preferences", HubPreferences);
