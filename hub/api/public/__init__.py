"""Endpoints that need no token of a caller, and static files."""
