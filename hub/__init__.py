"""A self-hosted notification hub."""

__version__ = "0.1.0"
