"""The processes: what they are built of, how they start and how they stop."""
