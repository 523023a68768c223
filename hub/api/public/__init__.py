"""Endpoints that need no access token, and static files."""
