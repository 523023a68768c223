"""Runs GraphQL operations."""
