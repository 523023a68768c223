"""Endpoints that exist only in development mode."""
