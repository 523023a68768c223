/** The exports of `/inbox.js`: `<hub-inbox>` and its connection, for other scripts on the page. */
export { HubInbox } from "./inbox/hub-inbox";
export { HubInboxList } from "./inbox/hub-inbox-list";
export { HubError, join, type GetToken, type HubConnection, type Sink, type Status } from "../../client/src/connection";
export type { Item } from "../../client/src/inbox";
export { graphql, type ResultOf, type VariablesOf } from "../../client/src/graphql";

// Shared with `/inbox-panel.js` and `/preferences.js`, so a page has one copy of each; see `vite.config.ts`.
export { countNewer } from "../../client/src/item-lists";
export { filteredList, PINNED_MAX, viewOf } from "../../client/src/list-query";
export { isUnread } from "../../client/src/optimistic-marks";
export * from "./page";
export { ConnectedElement } from "./connected-element";
export { Catalogs, I18n } from "./i18n";
export { icons } from "./inbox/inbox-icons";
export { theme } from "./inbox/theme";
export { css, html, LitElement, nothing, render, svg } from "lit";
export { live } from "lit/directives/live.js";
export { repeat } from "lit/directives/repeat.js";
