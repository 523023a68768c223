"""Tenants' webhook endpoints, their events and their calls."""
