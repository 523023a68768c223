"""The hub's clock, by which the hub decides. In development, `hub clock` moves it forward; otherwise it is real time.

Guarantees
- The clock never goes back, so cursors, ids, and idempotency records keep their order.
- An advance takes effect at the same moment in all processes: `APPLY_DELAY_S` after it was stored, by MongoDB's clock.
  Each process reads the advances more often than that.
- A process in production does not start with a database whose clock was moved, because its clock would go back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import Struct
from pymongo.errors import PyMongoError

from hub import utc_time
from hub.platform.connections import Database, Document, StoreUnavailable
from hub.platform.server_clock import ServerClock
from hub.platform.tolerant_decoding import decode
from hub.utc_time import HubTime, RealClock, RealTime

COLLECTION = "clock"
ID = "advances"
READ_EVERY_S = 0.25
APPLY_DELAY_S = 1.0
ADVANCES_MAX = 100  # stored advances; older ones are needed only to convert older times
AHEAD_MAX = timedelta(days=3660)
MILLISECOND = timedelta(milliseconds=1)
UNMOVED = timedelta()


class TooFarAhead(Exception):
    """The clock would be more than AHEAD_MAX ahead."""


class _Advance(Struct, frozen=True):
    """From the real time `at`, the hub's clock is `ahead_ms` ahead of real time."""

    at: datetime
    ahead_ms: int

    @property
    def ahead(self) -> timedelta:
        return self.ahead_ms * MILLISECOND


class _Advances(Struct, frozen=True):
    advances: tuple[_Advance, ...] = ()


class HubClock:
    """The hub's clock. If `movable` is False, it is `real_clock`."""

    def __init__(self, database: Database, real_clock: RealClock, *, movable: bool) -> None:
        self._documents = database[COLLECTION]
        self._real_clock = real_clock
        self._advances: tuple[_Advance, ...] = ()
        self.movable = movable
        self._listeners: list[Callable[[], Awaitable[None]]] = []

    def on_change(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Call `listener` whenever an advance has taken effect in this process."""
        self._listeners.append(listener)

    def now(self) -> HubTime:
        real = self._real_clock()
        return HubTime(real + self._ahead(real) if self._advances else real)

    @property
    def ahead(self) -> timedelta:
        """The time by which the hub's clock is ahead of real time."""
        return self._ahead(self._real_clock())

    def to_real_time(self, at: datetime) -> datetime:
        """Return the real time at which the hub's clock showed `at`. For a time that an advance skipped, return the
        time of the advance."""
        before = [UNMOVED, *(advance.ahead for advance in self._advances)]
        for advance, ahead_before in reversed(list(zip(self._advances, before, strict=False))):
            if at >= advance.at + ahead_before:
                return max(advance.at, at - advance.ahead)
        return at

    async def load(self) -> None:
        """Read the advances. Raise StoreUnavailable if the clock was moved and must not be, or PyMongoError."""
        doc = await self._documents.find_one({"_id": ID})
        stored = (doc and decode(doc, _Advances)) or _Advances()
        if stored.advances and not self.movable:
            raise StoreUnavailable(
                "The clock of this database was moved with `hub clock`, which is for development only. In production "
                "the clock would go back. Use another database (HUB_MONGO_URL, HUB_MONGO_DATABASE)."
            )
        self._advances = stored.advances

    async def advance(self, by: timedelta) -> None:
        """Move the clock forward in all processes. Return when the advance has taken effect. Raise TooFarAhead or
        PyMongoError."""
        assert self.movable
        assert by > UNMOVED
        if self.ahead + by > AHEAD_MAX:
            raise TooFarAhead
        at = self._real_clock() + timedelta(seconds=APPLY_DELAY_S)
        await self._documents.update_one({"_id": ID}, [_append(at, by // MILLISECOND)], upsert=True)
        while True:
            await self.load()
            left_s = (self._advances[-1].at - self._real_clock()).total_seconds()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, READ_EVERY_S))

    async def run(self) -> None:
        """Read the advances every READ_EVERY_S until cancelled."""
        known = self.ahead
        while True:
            await asyncio.sleep(READ_EVERY_S)
            with suppress(PyMongoError):
                await self.load()
            if known != (known := self.ahead):
                for listener in self._listeners:
                    await listener()

    def _ahead(self, real: RealTime) -> timedelta:
        return next((advance.ahead for advance in reversed(self._advances) if advance.at <= real), UNMOVED)


async def read_clocks(database: Database, *, movable: bool) -> tuple[ServerClock, HubClock]:
    """Return both clocks. Raise StoreUnavailable or PyMongoError, as `HubClock.load`."""
    server_clock = ServerClock(database, utc_time.now)
    await server_clock.sync()
    hub_clock = HubClock(database, server_clock.now, movable=movable)
    await hub_clock.load()
    return server_clock, hub_clock


def _append(at: datetime, by_ms: int) -> Document:
    """Return the update stage that appends an advance, which takes effect at `at` but not before an earlier one."""
    newest = {"$ifNull": [{"$last": "$advances"}, {"at": at, "ahead_ms": 0}]}
    appended = {"at": {"$max": [at, "$$newest.at"]}, "ahead_ms": {"$add": ["$$newest.ahead_ms", by_ms]}}
    advances = {"$concatArrays": [{"$ifNull": ["$advances", []]}, [appended]]}
    return {
        "$set": {
            "advances": {"$let": {"vars": {"newest": newest}, "in": {"$slice": [advances, -ADVANCES_MAX]}}},
        }
    }
