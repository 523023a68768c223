"""Executes GraphQL operations."""
