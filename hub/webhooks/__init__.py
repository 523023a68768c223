"""Tenants' webhook endpoints, the events they are called with, and those calls."""
