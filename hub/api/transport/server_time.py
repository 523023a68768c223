"""The hub's time for clients: in the acknowledgment of a connection, and in a ping after the hub's clock was moved."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from hub.platform.hub_clock import MILLISECOND, HubClock

ANNOUNCE_TIMEOUT_S = 1.0  # clients that do not read their socket are left out
NOT_ANNOUNCED: AbstractContextManager[None] = nullcontext()

SendMessage = Callable[[dict[str, Any]], Awaitable[None]]


class ServerTime:
    def __init__(self, clock: HubClock) -> None:
        self._clock = clock
        self._sends: set[SendMessage] = set()
        clock.on_change(self._announce)

    def payload(self) -> dict[str, Any]:
        """Return the time. If the hub's clock was moved, include by how much, because tokens expire in real time."""
        ahead = self._clock.ahead
        moved = {"clockAheadMs": ahead // MILLISECOND} if ahead else {}
        return {"serverTime": self._clock.now().isoformat(timespec="milliseconds"), **moved}

    def announced(self, send: SendMessage) -> AbstractContextManager[None]:
        """While the context is active, `send` is called with a ping when the hub's clock was moved."""
        return self._registered(send) if self._clock.movable else NOT_ANNOUNCED

    @contextmanager
    def _registered(self, send: SendMessage) -> Iterator[None]:
        self._sends.add(send)
        try:
            yield
        finally:
            self._sends.discard(send)

    async def _announce(self) -> None:
        ping = {"type": "ping", "payload": self.payload()}
        with suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                await asyncio.gather(*(send(ping) for send in self._sends), return_exceptions=True)
