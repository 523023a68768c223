"""Authentication by service keys.

- A key is read from MongoDB at most every CACHE_S, and every CACHE_DISCONNECTED_S while this process receives no
  revocations through Redis. A revocation removes it from the cache.
- A flood of unknown keys does not reach MongoDB: an unknown key is remembered for UNKNOWN_S, the number of unknown keys
  per address is limited, and at most CONCURRENT_READS keys are looked up at once.
- WebSockets and event streams are watched: `on_end` calls back when the key of a caller is revoked.
- The time of the last use is stored once per minute and process.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from math import inf

import structlog
from cachetools import LRUCache, TTLCache
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.audience.service_keys import PREFIX, SECRET_CHARS, ServiceKeys, hash_of
from hub.errors import RateLimited, Unauthenticated, Unavailable
from hub.model import Principal, Role, ServiceKey
from hub.platform.connections import is_outage
from hub.platform.rate_limiter import Limit, RateLimiter
from hub.platform.shared_reads import SharedReads

CACHE_SIZE = 10_000  # keys
CACHE_S = 20.0
CACHE_DISCONNECTED_S = 2.0
UNKNOWN_SIZE = 50_000  # hashes
UNKNOWN_S = 60.0
UNKNOWN_PER_ADDRESS = Limit("unknown_keys", 100, 60)
CONCURRENT_READS = 8
READ_SLOT_TIMEOUT_S = 5.0
IDS_PER_QUERY = 1000
RETRY_DELAY_S = 1.0
MINUTE_S = 60

NOT_WATCHED: AbstractContextManager[None] = nullcontext()

log = structlog.get_logger(__name__)


class _Cached(Struct):
    """A key that exists. `read_at`: when it was read. `minute`: the minute of its last use."""

    caller: Principal
    read_at: float
    minute: int = 0


class ServiceKeyAuthenticator:
    """`is_disconnected` returns True while this process receives no revocations."""

    def __init__(self, keys: ServiceKeys, limiter: RateLimiter, is_disconnected: Callable[[], bool]) -> None:
        self._keys = keys
        self._limiter = limiter
        self._is_disconnected = is_disconnected
        self._cached: LRUCache[str, _Cached] = LRUCache(CACHE_SIZE)
        self._unknown: TTLCache[str, bool] = TTLCache(UNKNOWN_SIZE, UNKNOWN_S)
        self._revoked: TTLCache[str, bool] = TTLCache(CACHE_SIZE, UNKNOWN_S)
        self._reads = SharedReads(keys.find)
        self._look_ups: dict[str, asyncio.Task[_Cached]] = {}
        self._read_slots = asyncio.Semaphore(CONCURRENT_READS)
        self._watchers: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        self._used_at: dict[str, datetime] = {}
        self._has_used = asyncio.Event()
        self._check_now = asyncio.Event()
        self._valid_from = 0.0  # keys that were read before are read again

    async def authenticate(self, secret: str, address: str) -> Principal:
        """Return the caller that a key identifies. `address` is the rate limit key of the client's address.

        Raise Unauthenticated if the key is unknown, revoked, or expired. Raise RateLimited for too many unknown keys.
        """
        hash = hash_of(secret)
        cached = self._cached.get(hash)
        if cached is None:
            if len(secret) != SECRET_CHARS or hash in self._unknown:
                raise _unknown_key()
            cached = await self._look_up(hash, address)
        elif cached.read_at < max(self._valid_from, time.monotonic() - self._max_age_s):
            cached = self._store(hash, await self._read(hash))
        if cached.caller.expires_at <= time.time():
            raise Unauthenticated("This service key has expired. Create a new one with `hub keys create`.")
        self._note_use(cached)
        return cached.caller

    @property
    def _max_age_s(self) -> float:
        return CACHE_DISCONNECTED_S if self._is_disconnected() else CACHE_S

    async def _look_up(self, hash: str, address: str) -> _Cached:
        """Look up a key that is not cached. Concurrent callers share one look-up, which counts as one unknown key until
        it succeeds."""
        task = self._look_ups.get(hash)
        if task is None:
            attempt = UNKNOWN_PER_ADDRESS, address
            result = self._limiter.check(attempt)
            if result and result.retry_after_s is not None:
                raise RateLimited(
                    f"There were more than {UNKNOWN_PER_ADDRESS.max_requests} unknown service keys from your address "
                    f"in {UNKNOWN_PER_ADDRESS.window_s} s. Try again later.",
                    round(result.retry_after_s, 1),
                )
            task = self._look_ups[hash] = asyncio.create_task(self._run_look_up(hash, attempt))
        return await asyncio.shield(task)  # a caller that is cancelled does not cancel the others

    async def _run_look_up(self, hash: str, attempt: tuple[Limit, str]) -> _Cached:
        try:
            try:
                async with asyncio.timeout(READ_SLOT_TIMEOUT_S):
                    await self._read_slots.acquire()
            except TimeoutError:
                raise Unavailable("Too many service keys are being checked. Try again shortly.") from None
            try:
                key = await self._read(hash)
            finally:
                self._read_slots.release()
            return self._store(hash, key)
        finally:
            del self._look_ups[hash]
            if hash not in self._unknown:
                self._limiter.refund(attempt)

    async def _read(self, hash: str) -> ServiceKey | None:
        try:
            return await self._reads.get(hash)
        except PyMongoError as error:
            if not is_outage(error):
                raise
            raise Unavailable("The database did not respond. Try again shortly.") from None

    def _store(self, hash: str, key: ServiceKey | None) -> _Cached:
        """Cache the result of a read. Raise Unauthenticated for None, or if the key was revoked during the read."""
        before = self._cached.pop(hash, None)
        if key is None or key.id in self._revoked:
            self._unknown[hash] = True
            if before:
                self._end(before.caller.key)
            raise _unknown_key()
        cached = self._cached[hash] = _Cached(_to_principal(key), time.monotonic(), before.minute if before else 0)
        return cached

    def _note_use(self, cached: _Cached) -> None:
        minute = int(time.time() // MINUTE_S)
        if minute != cached.minute:
            cached.minute = minute
            self._used_at[cached.caller.key] = datetime.fromtimestamp(minute * MINUTE_S, UTC)
            self._has_used.set()

    def on_end(self, caller: Principal, end: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `end` if the caller's key is revoked while the body of the `with` statement runs. Do nothing for tokens.

        The expiry of a key is the caller's `expires_at`, as for tokens."""
        return self._watched(caller.key, end) if caller.key else NOT_WATCHED

    @contextmanager
    def _watched(self, key: str, end: Callable[[], None]) -> Iterator[None]:
        self._watchers[key].add(end)
        if key in self._revoked:
            end()
        try:
            yield
        finally:
            watchers = self._watchers[key]
            watchers.discard(end)
            if not watchers:
                del self._watchers[key]

    def on_revoked(self, id: str) -> None:
        """Reject a key from now on. End its WebSockets and event streams."""
        self._revoked[id] = True
        for hash, cached in list(self._cached.items()):
            if cached.caller.key == id:
                del self._cached[hash]
        self._end(id)

    def _end(self, id: str) -> None:
        for end in list(self._watchers.get(id, ())):
            end()

    def on_missed(self) -> None:
        """Read all keys again when they are used next, and those of open WebSockets and event streams soon, because
        revocations may have been missed."""
        self._valid_from = time.monotonic()
        self._check_now.set()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_checks())
            group.create_task(self._record_uses())

    async def _run_checks(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._max_age_s):
                    await self._check_now.wait()
            except TimeoutError:
                pass
            self._check_now.clear()
            try:
                await self._check_watched()
            except PyMongoError as error:
                log.warning("keys_not_checked", error=error, throttled=True)
                await asyncio.sleep(RETRY_DELAY_S)
                self._check_now.set()

    async def _check_watched(self) -> None:
        watched = list(self._watchers)
        for start in range(0, len(watched), IDS_PER_QUERY):
            ids = watched[start : start + IDS_PER_QUERY]
            active = await self._keys.list_active(ids)
            for id in ids:
                if id not in active:
                    self.on_revoked(id)

    async def _record_uses(self) -> None:
        while True:
            await self._has_used.wait()
            self._has_used.clear()
            used_at, self._used_at = self._used_at, {}
            try:
                await self._keys.record_use(used_at)
            except PyMongoError as error:
                log.warning("key_use_not_recorded", error=error, throttled=True)
                self._used_at = used_at | self._used_at
                self._has_used.set()
            await asyncio.sleep(RETRY_DELAY_S)  # gather the uses of other keys


def is_service_key(credential: str) -> bool:
    return credential.startswith(PREFIX)


def _to_principal(key: ServiceKey) -> Principal:
    return Principal(
        tenant=key.tenant,
        user="",
        role=Role[key.role.name],
        expires_at=key.expires_at.timestamp() if key.expires_at else inf,
        key=key.id,
        scopes=frozenset(key.scopes),
    )


def _unknown_key() -> Unauthenticated:
    return Unauthenticated("This service key is unknown or revoked.")
