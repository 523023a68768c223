"""Clients of the outside world and tools of the whole process."""
