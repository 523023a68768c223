/** What `/inbox.js` brings to a page: `<hub-inbox>`, and the connection beneath it for whoever wants to share it. */
export { HubInbox } from "./inbox/bell";
export { HubError, join, type GetToken, type Hub, type Sink, type Status } from "./hub/connection";
export type { Item } from "./hub/inbox";
export { graphql, type ResultOf, type VariablesOf } from "./hub/graphql";

// For `/preferences.js`: a page has one Lit.
export { css, html, LitElement, nothing, svg } from "lit";
export { repeat } from "lit/directives/repeat.js";
