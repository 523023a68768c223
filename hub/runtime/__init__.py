"""Processes: their components, how they start and how they stop."""
