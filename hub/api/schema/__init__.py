"""The GraphQL types and fields, one file per domain."""
