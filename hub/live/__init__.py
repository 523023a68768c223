"""Live updates: processes exchange changes over Redis pub/sub, and clients get them through bounded feeds."""
