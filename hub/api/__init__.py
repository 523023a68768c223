"""The API: GraphQL over HTTP, WebSocket and server-sent events, and the endpoints without access tokens."""
