"""Tells all processes that urgent sends arrive, with a key in Redis that expires after KEY_TTL_S.

No method waits for Redis. If Redis is unavailable, no send counts as urgent.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from redis.asyncio import Redis

from hub.platform.redis_errors import REDIS_ERRORS

KEY_TTL_S = 2.0
INTERVAL_S = 0.25  # a process writes and reads the key at most once in this time


class UrgentSends:
    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._key = f"{prefix}urgent_sends"
        self._marked_s = self._asked_s = -KEY_TTL_S
        self._found_s = -KEY_TTL_S  # when the key was found
        self._task: asyncio.Task[None] | None = None

    def mark(self) -> None:
        """Record that an urgent send arrived."""
        now_s = time.monotonic()
        if now_s - self._marked_s >= INTERVAL_S and self._start(self._write()):
            self._marked_s = now_s

    def are_arriving(self) -> bool:
        """Return True if an urgent send arrived in any process in the last seconds."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= INTERVAL_S and self._start(self._read()):
            self._asked_s = now_s
        return now_s - self._found_s < KEY_TTL_S  # an idle worker asks rarely

    def _start(self, call: Coroutine[Any, Any, None]) -> bool:
        """Run a call in the background. Return False if the last one has not ended."""
        if self._task and not self._task.done():
            call.close()
            return False
        self._task = asyncio.create_task(call)
        return True

    async def _write(self) -> None:
        try:
            await self._redis.set(self._key, 1, px=int(KEY_TTL_S * 1000))
        except REDIS_ERRORS:
            return

    async def _read(self) -> None:
        try:
            found = await self._redis.exists(self._key)
        except REDIS_ERRORS:
            return
        if found:
            self._found_s = time.monotonic()
