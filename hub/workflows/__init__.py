"""Workflows that combine the stages: publish, change inboxes, cancel, schedule, and export or erase users."""
