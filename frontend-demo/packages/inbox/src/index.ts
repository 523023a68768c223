/** `<hub-inbox>` and `<hub-inbox-list>` as a package. Importing it defines the elements. */
import type { HubInboxElement, HubInboxListElement } from "./elements.js";
import { HubInbox as Inbox } from "./inbox/hub-inbox";
import { HubInboxList as InboxList } from "./inbox/hub-inbox-list";

export type * from "./elements.js";
export type HubInbox = HubInboxElement;
export type HubInboxList = HubInboxListElement;
export const HubInbox: new () => HubInboxElement = Inbox;
export const HubInboxList: new () => HubInboxListElement = InboxList;
