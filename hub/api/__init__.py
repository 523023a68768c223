"""The door: GraphQL over HTTP, WebSocket and SSE."""
