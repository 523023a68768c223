"""Real time, by MongoDB's clock, which all processes share.

Between two readings of MongoDB's clock, the time advances with `time.monotonic()`. Steps of the local clock (NTP, an
administrator, a resumed virtual machine) have no effect. The local clock is used only before the first reading.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pymongo.errors import PyMongoError

from hub.platform.connections import Database
from hub.utc_time import RealClock, RealTime, floor_ms

SYNC_EVERY_S = 30.0


class ServerClock:
    """Real time. `local` is read once, for the initial value. `monotonic` returns seconds."""

    def __init__(self, database: Database, local: RealClock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._zero: datetime = local() - timedelta(seconds=monotonic())  # the time at the monotonic clock's zero
        self._error_s = float("inf")  # the maximum error of `_zero`

    def now(self) -> RealTime:
        return RealTime(floor_ms(self._zero + timedelta(seconds=self._monotonic())))

    async def sync(self) -> None:
        """Read MongoDB's clock. Raise PyMongoError.

        A reading that agrees with the current value, within the errors of both, is ignored, so the clock does not
        jitter."""
        sent_s = self._monotonic()
        response = await self._database.command("hello")
        received_s = self._monotonic()
        zero = response["localTime"].replace(tzinfo=UTC) - timedelta(seconds=(sent_s + received_s) / 2)
        error_s = (received_s - sent_s) / 2 + 0.001  # MongoDB returns whole milliseconds
        if abs((zero - self._zero).total_seconds()) > self._error_s + error_s or error_s < self._error_s:
            self._zero, self._error_s = zero, error_s

    async def run(self) -> None:
        """Read MongoDB's clock every SYNC_EVERY_S until cancelled."""
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            with suppress(PyMongoError):
                await self.sync()
