"""Read once, quiet everywhere: what follows the commit of a read. Nobody waits for it, and nothing depends on it: the
last question before each call decides."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog
from pymongo.errors import PyMongoError

from hub.status.deliveries import Deliveries

AT_ONCE = 200  # notifications a round
WAITING_MAX = 50_000

log = structlog.get_logger(__name__)


class Quiet:
    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._waiting: deque[str] = deque(maxlen=WAITING_MAX)
        self._filled = asyncio.Event()

    def put(self, notifications: Sequence[str]) -> None:
        """Queues notifications that were read and have deliveries elsewhere."""
        self._waiting.extend(notifications)
        self._filled.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            await self._quieten()

    async def flush(self) -> None:
        """What is queued, when `run` has ended."""
        while self._waiting:
            await self._quieten()

    async def _quieten(self) -> None:
        read = [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_ONCE))]
        try:
            await self._deliveries.skip_read(read)
        except PyMongoError as error:
            log.warning("not_quietened", error=repr(error), notifications=len(read))
