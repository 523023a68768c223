"""Stage 6, the durable queue: lanes of ids in Redis. MongoDB is the source of truth."""
