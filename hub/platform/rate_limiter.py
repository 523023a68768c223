"""Rate limits, shared by all processes through Redis.

Each limit is a sliding window: the requests of the current window, plus the share of the previous window that the
sliding window still covers. A request is checked against counts in this process, without a round trip. Every `SYNC_S`,
one pipeline adds this process's requests to the shared counts and reads the totals back. A limit can therefore be
exceeded by the requests that all processes admit within `SYNC_S`.

Without Redis, each process uses only its own counts, so limits become less strict, never stricter.
`hub_limiter_redis_errors` counts the failed synchronizations.
"""

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from time import time

import structlog
from cachetools import LRUCache
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from hub.platform import metrics
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import INTEGER, drop_foreign, is_foreign

SYNC_S = 0.1
KEPT_WINDOWS = 2
TRACKED_KEYS_MAX = 50_000  # keys counted in one process; the least recently used are dropped
SYNC_BATCH = 500  # keys per pipeline

log = structlog.get_logger(__name__)


class Limit(Struct, frozen=True):
    """At most `max_requests` requests in any `window_s` seconds. 0 means unlimited. `name` is shown to clients."""

    name: str
    max_requests: int
    window_s: int


class RateLimitResult(Struct, frozen=True):
    """The result of a check.

    - `remaining`: the number of requests left.
    - `reset_s`: seconds until the next window.
    - `retry_after_s`: seconds until the request is allowed. None if it is allowed now.
    """

    limit: Limit
    key: str
    remaining: int
    reset_s: float
    retry_after_s: float | None = None


class _Count:
    """The count of one key in one process. `shared` is the total of all processes at the last synchronization."""

    __slots__ = ("previous", "shared", "unsent", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.shared = 0
        self.unsent = 0
        self.previous = 0

    def roll_over(self, window: int) -> None:
        """Start a new window."""
        if window != self.window:
            self.previous = self.shared + self.unsent if window == self.window + 1 else 0
            self.window, self.shared, self.unsent = window, 0, 0


class RateLimiter:
    def __init__(self, redis: Redis, prefix: str, now: Callable[[], float] = time) -> None:
        self._redis = redis
        self._prefix = prefix
        self._now = now
        self._counts: LRUCache[tuple[Limit, str], _Count] = LRUCache(TRACKED_KEYS_MAX)
        self._dirty: set[tuple[Limit, str]] = set()
        self._redis_unavailable = False

    def check(self, *keys: tuple[Limit, str], amount: int = 1) -> RateLimitResult | None:
        """Count `amount` requests for each key, and return the strictest result.

        Return None if all limits are unlimited. A rejected request is not counted."""
        now = self._now()
        counts = [(key, self._count(key, now)) for key in keys if key[0].max_requests > 0]
        if not counts:
            return None
        results = [_check(limit, key, count, now, amount) for (limit, key), count in counts]
        rejected = [result for result in results if result.retry_after_s is not None]
        if rejected:
            metrics.rate_limited.labels(rejected[0].limit.name).inc()
            return max(rejected, key=lambda result: result.retry_after_s or 0)
        for key, count in counts:
            count.unsent += amount
            self._dirty.add(key)
        return min(results, key=lambda result: result.remaining)

    def refund(self, *keys: tuple[Limit, str]) -> None:
        """Take back one request for each key, which `check` has counted."""
        now = self._now()
        for key in keys:
            self._count(key, now).unsent -= 1
            self._dirty.add(key)

    async def run(self) -> None:
        """Synchronize with Redis every SYNC_S until cancelled."""
        while not is_cancelling():
            await asyncio.sleep(SYNC_S)
            dirty, self._dirty = list(self._dirty), set()
            try:
                for start in range(0, len(dirty), SYNC_BATCH):
                    await self._sync(dirty[start : start + SYNC_BATCH])
                self._redis_unavailable = False
            except REDIS_ERRORS as error:
                self._dirty.update(key for key in dirty if key in self._counts)
                metrics.limiter_redis_errors.inc()
                if not self._redis_unavailable:
                    log.warning("limiter_redis_unavailable", error=error)
                self._redis_unavailable = True

    def _count(self, key: tuple[Limit, str], now: float) -> _Count:
        """Return the count of a key, in the current window."""
        window = int(now // key[0].window_s)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(window)
        else:
            count.roll_over(window)
        return count

    async def _sync(self, keys: list[tuple[Limit, str]]) -> None:
        sent: list[tuple[tuple[Limit, str], str, _Count, int, int]] = []
        pipeline = self._redis.pipeline(transaction=False)
        for limit, key in keys:
            if count := self._counts.get((limit, key)):
                hashed = blake2b(key.encode(), digest_size=16).hexdigest()  # it may contain a user id
                name = f"{self._prefix}rate:{limit.name}:{hashed}:{count.window}"
                pipeline.incrby(name, count.unsent)
                pipeline.expire(name, limit.window_s * KEPT_WINDOWS)
                sent.append(((limit, key), name, count, count.window, count.unsent))
        replies = await pipeline.execute(raise_on_error=False) if sent else []
        foreign: dict[str, str] = {}
        for (key_of_count, name, count, window, unsent), total in zip(sent, replies[::2], strict=True):
            if isinstance(total, ResponseError):
                if not is_foreign(total):
                    raise total
                foreign[name] = INTEGER
                self._dirty.add(key_of_count)  # sent by the next synchronization
            elif count.window == window:
                count.shared = int(total)
                count.unsent -= unsent
        if foreign:
            await drop_foreign(self._redis, foreign)


def _check(limit: Limit, key: str, count: _Count, now: float, amount: int) -> RateLimitResult:
    into = now % limit.window_s
    left = 1 - into / limit.window_s
    used = count.shared + count.unsent + count.previous * left
    reset_s = limit.window_s - into
    if used + amount <= limit.max_requests:
        return RateLimitResult(limit, key, int(limit.max_requests - used - amount), reset_s)
    return RateLimitResult(limit, key, 0, reset_s, _wait_s(limit, count, left, amount))


def _wait_s(limit: Limit, count: _Count, left: float, amount: int) -> float:
    """Return the seconds until `amount` requests are allowed, if there are no other requests until then."""
    current = count.shared + count.unsent
    if current + amount <= limit.max_requests:  # the share of the previous window has to shrink
        share = (limit.max_requests - amount - current) / count.previous
        return max(0.1, (left - share) * limit.window_s)
    return left * limit.window_s + max(0.0, (1 - (limit.max_requests - amount) / max(current, 1)) * limit.window_s)
