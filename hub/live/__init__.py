"""Live updates: processes exchange changes over Redis pub/sub, and clients receive them through bounded feeds."""
