"""Tenants' webhook endpoints with their events and calls."""
