"""Clients for external systems, and utilities that the whole process shares."""
