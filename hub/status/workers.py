"""The heartbeats of workers, which contain the running processes, their providers, and the results of their calls.

- Each process with dispatchers writes one document every `HEARTBEAT_S`. If the process crashes, the calls since the
  last heartbeat are not counted.
- Heartbeats are stored in MongoDB, so they survive the loss of Redis and the restart of any process. A process that
  stops normally records this in its document.
- A process without a heartbeat for `ALIVE_S` is considered dead. A TTL index removes its document after `KEPT_S`; until
  then, its calls are part of the failure rate.
- Calls are counted by minute, channel, and provider, never by host or tenant.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pymongo
import structlog
from msgspec import Struct, ValidationError, convert, to_builtins
from pymongo import ASCENDING, IndexModel
from pymongo.errors import PyMongoError

from hub import __version__
from hub.ids import new_id
from hub.platform.cancel_safe_mongo import CLOSE_TIMEOUT_S
from hub.platform.connections import Database, Document, Indexes
from hub.utc_time import RealClock

COLLECTION = "workers"
HEARTBEAT_S = 2.0
ALIVE_S = 30.0
WINDOW_MINUTES = 15  # of the failure rate
KEPT_S = 20 * 60  # longer than the window
WORKERS_MAX = 1000  # maximum number that is read
MINUTE_S = 60

log = structlog.get_logger(__name__)


class ProviderName(Struct, frozen=True):
    """A provider of a worker with the channel that it sends on."""

    channel: str
    provider: str


class MinuteCalls(Struct, frozen=True):
    """The calls that ended in one minute. `minute` is the number of minutes since 1970."""

    minute: int
    channel: str
    provider: str
    ok: int
    failed: int


class Worker(Struct, frozen=True, rename={"id": "_id"}):
    """The document of one process. `total` counts the calls since its start. `stopped` is True after a normal stop."""

    id: str
    host: str
    version: str
    started_at: datetime
    heartbeat_at: datetime
    providers: tuple[ProviderName, ...] = ()
    calls: tuple[MinuteCalls, ...] = ()
    total: int = 0
    stopped: bool = False


def indexes() -> Indexes:
    # finds recent heartbeats and deletes old documents
    return {COLLECTION: [IndexModel([("heartbeat_at", ASCENDING)], name="heartbeat", expireAfterSeconds=KEPT_S)]}


class CallTally:
    """Counts the calls of this process in the last `WINDOW_MINUTES`, and lists its providers."""

    def __init__(self, real_clock: RealClock) -> None:
        self._real_clock = real_clock
        self._calls: Counter[tuple[int, str, str, bool]] = Counter()
        self.providers: list[ProviderName] = []
        self.total = 0

    def add_provider(self, channel: str, provider: str) -> None:
        self.providers.append(ProviderName(channel, provider))

    def count(self, channel: str, provider: str, ok: bool) -> None:
        """Count a finished call."""
        self._calls[_minute(self._real_clock()), channel, provider, ok] += 1
        self.total += 1

    def recent(self, now: datetime) -> list[MinuteCalls]:
        """Return the calls in the window, and delete older ones."""
        oldest = _minute(now) - WINDOW_MINUTES
        for old in [key for key in self._calls if key[0] <= oldest]:
            del self._calls[old]
        keys = sorted({key[:3] for key in self._calls})
        return [MinuteCalls(*key, self._calls[*key, True], self._calls[*key, False]) for key in keys]


class Heartbeat:
    """Writes the document of this process."""

    def __init__(self, database: Database, real_clock: RealClock, tally: CallTally) -> None:
        self._workers = database[COLLECTION]
        self._real_clock = real_clock
        self._tally = tally
        self._id = new_id()
        self._started_at = real_clock()

    async def run(self) -> None:
        """Write heartbeats until cancelled."""
        try:
            while True:
                try:
                    await self._write(stopped=False)
                except PyMongoError as error:
                    log.warning("heartbeat_failed", error=error)
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            try:
                with pymongo.timeout(CLOSE_TIMEOUT_S):
                    await self._write(stopped=True)
            except PyMongoError as error:
                log.warning("heartbeat_failed", error=error)

    async def _write(self, *, stopped: bool) -> None:
        now = self._real_clock()
        worker = Worker(
            id=self._id,
            host=socket.gethostname(),
            version=__version__,
            started_at=self._started_at,
            heartbeat_at=now,
            providers=tuple(self._tally.providers),
            calls=tuple(self._tally.recent(now)),
            total=self._tally.total,
            stopped=stopped,
        )
        document: Document = to_builtins(worker, builtin_types=(datetime,))
        await self._workers.replace_one({"_id": self._id}, document, upsert=True)


class Workers:
    """Reads heartbeats."""

    def __init__(self, database: Database, real_clock: RealClock) -> None:
        self._workers = database[COLLECTION]
        self._real_clock = real_clock

    async def recent(self) -> list[Worker]:
        """Return the workers of the last `WINDOW_MINUTES`, including stopped ones."""
        since = self._real_clock() - timedelta(minutes=WINDOW_MINUTES)
        cursor = self._workers.find({"heartbeat_at": {"$gte": since}}, hint="heartbeat").limit(WORKERS_MAX)
        workers = []
        async for doc in cursor:
            try:
                workers.append(convert(doc, Worker))
            except ValidationError as error:  # the document was written by another version
                log.warning("worker_not_readable", worker=str(doc["_id"]), error=str(error))
        return workers


def alive(workers: Sequence[Worker], now: datetime) -> list[Worker]:
    """Return the running workers, oldest first."""
    since = now - timedelta(seconds=ALIVE_S)
    running = [worker for worker in workers if not worker.stopped and worker.heartbeat_at >= since]
    return sorted(running, key=lambda worker: (worker.started_at, worker.id))


def recent_calls(workers: Sequence[Worker], now: datetime) -> dict[ProviderName, tuple[int, int]]:
    """Return the number of successful and failed calls in the window by provider."""
    oldest = _minute(now) - WINDOW_MINUTES
    totals: dict[ProviderName, tuple[int, int]] = {}
    for calls in (calls for worker in workers for calls in worker.calls if calls.minute > oldest):
        name = ProviderName(calls.channel, calls.provider)
        ok, failed = totals.get(name, (0, 0))
        totals[name] = ok + calls.ok, failed + calls.failed
    return totals


def _minute(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp()) // MINUTE_S
