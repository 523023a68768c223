"""Events: the formats in which they arrive, and their store."""
