"""Deletes the hub's keys in Redis, for a database that was restored: they concern the data before."""

import re

from redis.asyncio import Redis

BATCH_SIZE = 1000  # keys per round trip


async def flush_prefix(redis: Redis, prefix: str) -> int:
    """Delete all keys with the prefix, and return their number. Other keys are not changed. The command reads the names
    of all keys, so it is only for a hub that is stopped."""
    pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix) + "*"
    deleted, batch = 0, list[bytes]()
    async for key in redis.scan_iter(match=pattern, count=BATCH_SIZE):
        batch.append(key)
        if len(batch) == BATCH_SIZE:
            deleted += await redis.unlink(*batch)
            batch = []
    return deleted + (await redis.unlink(*batch) if batch else 0)
