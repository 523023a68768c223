"""Revocations of service keys, published to all processes.

A revocation does not wait for Redis. It takes effect in this process at once, and in the others when they receive it.
If Redis is unavailable, the ids wait and are published later. The other processes do not depend on it: they read keys
again after some seconds (`hub/api/service_key_authenticator.py`).
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS

RETRY_DELAY_S = 0.2
WAITING_MAX = 1000

log = structlog.get_logger(__name__)


class KeyRevocations:
    """`on_revoked` is called with the id of each key that any process revokes, once or several times."""

    def __init__(self, redis: Redis, prefix: str, on_revoked: Callable[[str], None]) -> None:
        self._redis = redis
        self.channel = f"{prefix}revoked_keys"
        self._on_revoked = on_revoked
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()

    def publish(self, id: str) -> None:
        """Announce that a key was revoked."""
        self._on_revoked(id)
        if len(self._waiting) < WAITING_MAX:
            self._waiting[id] = None
            self._wake.set()

    def on_message(self, data: bytes) -> None:
        """Handle a message of the channel."""
        self._on_revoked(data.decode(errors="replace"))

    async def run(self) -> None:
        """Publish until cancelled."""
        failed = False
        while not is_cancelling():
            await self._wake.wait()
            self._wake.clear()
            try:
                for id in list(self._waiting):
                    await self._redis.publish(self.channel, id)
                    self._waiting.pop(id, None)
                failed = False
            except REDIS_ERRORS as error:
                if not failed:
                    log.warning("revocation_not_published", error=error)
                failed = True
                self._wake.set()
                await asyncio.sleep(RETRY_DELAY_S)
