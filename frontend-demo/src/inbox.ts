/** What `/inbox.js` brings to a page. */
export { Hub, HubError, join, type GetToken, type Sink, type Status } from "./hub/connection";
export { graphql, type ResultOf, type VariablesOf } from "./hub/graphql";
