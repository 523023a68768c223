"""The API: GraphQL over HTTP, WebSocket, and server-sent events, and endpoints that need no access token."""
