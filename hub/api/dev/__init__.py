"""Endpoints of development mode."""
