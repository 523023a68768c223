/** The exports of `/inbox.js`: `<hub-inbox>` and its connection, for other scripts on the page. */
export { HubInbox } from "./inbox/hub-inbox";
export { HubError, join, type GetToken, type HubConnection, type Sink, type Status } from "./client/connection";
export type { Item } from "./client/inbox";
export { graphql, type ResultOf, type VariablesOf } from "./client/graphql";

// Shared with `/preferences.js`, so a page has one copy of each; see `vite.config.ts`.
export { ConnectedElement } from "./connected-element";
export { I18n } from "./i18n";
export { css, html, LitElement, nothing, svg } from "lit";
export { live } from "lit/directives/live.js";
export { repeat } from "lit/directives/repeat.js";
