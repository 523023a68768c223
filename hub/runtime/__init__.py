"""The processes: their components, startup, and shutdown."""
