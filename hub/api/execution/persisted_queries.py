"""Operations that are known by a hash of their text, so that clients need not send it.

Without a list, clients teach the hub: a hash that nobody knows is answered with PersistedQueryNotFound, upon which the
client sends it once more with its text (automatic persisted queries, as Apollo's clients do it). Processes share what
they were taught through Redis, and keep what they have met. Without Redis a client is asked for a text more often, and
that is all.

With `HUB_OPERATION_ALLOWLIST` the operations of that manifest run and no others.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from time import monotonic, time
from typing import Any, TypeVar

import orjson
import structlog
from cachetools import LRUCache
from redis.asyncio import Redis

from hub.errors import BadUserInput, OperationNotAllowed, PersistedQueryNotFound
from hub.platform import metrics
from hub.platform.redis_keys import REDIS_ERRORS, with_key_repair
from hub.settings import ConfigurationError, Settings

SETTING = "HUB_OPERATION_ALLOWLIST"
APOLLO_FORMAT = "apollo-persisted-query-manifest"
HASH = re.compile(r"[0-9a-f]{64}")
TEXT_MAX_CHARS = 8 << 10  # a longer text is not kept: its hash is asked for anew each time
REDIS_TIMEOUT_S = 0.1  # a client that is asked for its text is served sooner than one that waits
REDIS_PAUSE_S = 1.0  # after it did not answer
REDIS_CONCURRENCY = 4  # the pool of connections serves others too

T = TypeVar("T")

log = structlog.get_logger(__name__)


def sha256_hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class AutomaticPersistedQueries:
    """Texts that clients have sent with their hash. The ones used last stay, here and in Redis."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._prefix = f"{settings.redis_prefix}query:"
        self._used_at = f"{settings.redis_prefix}queries"
        self._max_entries = settings.persisted_max_queries
        self._kept_s = settings.persisted_query_days * 86_400
        self._texts: LRUCache[str, str] = LRUCache(settings.persisted_max_queries)
        self._slots = asyncio.Semaphore(REDIS_CONCURRENCY)
        self._redis_retry_at = 0.0

    async def resolve(self, hash: str, given: str) -> str:
        """The text of that hash. PersistedQueryNotFound if it is not known; BadUserInput if `given` is another."""
        if given:
            if self._texts.get(hash) != given and sha256_hex(given) != hash:
                raise BadUserInput("The hash is not the SHA-256 of `query`.", "extensions.persistedQuery.sha256Hash")
            return given
        found = self._texts.get(hash)
        if found is None and HASH.fullmatch(hash):
            found = await self._try_redis(hash, lambda: self._fetch(hash))
        metrics.persisted.labels("unknown" if found is None else "known").inc()
        if found is None:
            raise PersistedQueryNotFound
        return found

    async def store(self, hash: str, text: str) -> None:
        """From now on the hash is enough. The text is valid."""
        if hash not in self._texts and len(text) <= TEXT_MAX_CHARS:
            self._texts[hash] = text
            await self._try_redis(hash, lambda: self._share(hash, text))

    async def _try_redis(self, hash: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis says; None if it is away."""

        async def types() -> dict[str, str]:
            return {self._prefix + hash: "string", self._used_at: "zset"}

        if monotonic() < self._redis_retry_at:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S), self._slots:
                return await with_key_repair(self._redis, ask, types)
        except REDIS_ERRORS as error:
            self._redis_retry_at = monotonic() + REDIS_PAUSE_S
            metrics.persisted_redis_errors.inc()
            log.debug("persisted_alone", error=repr(error))
            return None

    async def _fetch(self, hash: str) -> str | None:
        if known := self._texts.get(hash):  # fetched by another request while this one waited
            return known
        found: Any = await self._redis.getex(self._prefix + hash, ex=self._kept_s)
        if found is None or sha256(found).hexdigest() != hash:
            return None
        await self._redis.zadd(self._used_at, {hash: time()})
        text: str = found.decode()
        self._texts[hash] = text
        return text

    async def _share(self, hash: str, text: str) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._prefix + hash, text, ex=self._kept_s)
        pipeline.zadd(self._used_at, {hash: time()})
        pipeline.expire(self._used_at, self._kept_s)
        pipeline.zcard(self._used_at)
        *_, count = await pipeline.execute()
        if count > self._max_entries:
            oldest: Any = await self._redis.zpopmin(self._used_at, count - self._max_entries)
            await self._redis.unlink(*(self._prefix.encode() + hash for hash, _ in oldest))


class OperationAllowlist:
    """The operations of a manifest: by id, by the SHA-256 of their text, or by the very text."""

    def __init__(self, operations: dict[str, str]) -> None:
        self.texts = frozenset(operations.values())
        self._by_id = {sha256_hex(text): text for text in self.texts} | operations

    async def resolve(self, hash: str, given: str) -> str:
        """Return the listed text with this id, or `given` if it is listed. `hash` may be empty.

        Raise OperationNotAllowed, or BadUserInput if the two are different operations."""
        text = self._by_id.get(hash) if hash else given
        if text not in self.texts:
            raise OperationNotAllowed(f"Only listed operations run here ({SETTING}), and this is none.")
        if given not in {"", text}:
            raise BadUserInput("The hash is that of another `query`.", "extensions.persistedQuery.sha256Hash")
        metrics.persisted.labels("listed").inc()
        return text

    async def store(self, hash: str, text: str) -> None:
        """Nothing is learnt."""


def read_manifest(path: Path, fault: Callable[[str], str | None]) -> OperationAllowlist:
    """The operations of Apollo's manifest, or of a plain object of texts by their ids. `fault` says what is wrong with
    a text. Raises ConfigurationError, which names the operation at fault."""
    try:
        given = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{SETTING}: {path} can't be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{SETTING}: {path} is not JSON: {error}.") from None
    operations: dict[str, str] = {}
    for name, id, text in _entries(given, path):
        where = f"{SETTING}: {path}: operation {name or id or text!s:.80}"
        if not isinstance(id, str) or not id or not isinstance(text, str):
            raise ConfigurationError(f"{where} has an id and a text, which are strings.")
        if operations.get(id, text) != text:
            raise ConfigurationError(f"{where}: its id {id:.80} is also that of another.")
        if wrong := fault(text):
            raise ConfigurationError(f"{where} does not fit the schema: {wrong}")
        operations[id] = text
    if not operations:
        raise ConfigurationError(f"{SETTING}: {path} lists no operation, so that nothing would run.")
    return OperationAllowlist(operations)


def _entries(given: Any, path: Path) -> list[tuple[Any, Any, Any]]:
    """Name, id and text of each."""
    if isinstance(given, dict) and "format" not in given:
        return [(None, id, text) for id, text in given.items()]
    listed = given.get("operations") if isinstance(given, dict) else None
    if not isinstance(listed, list) or (given["format"], given.get("version")) != (APOLLO_FORMAT, 1):
        raise ConfigurationError(
            f"{SETTING}: {path} is neither {APOLLO_FORMAT} of version 1 nor an object of texts by their ids."
        )
    rows = [row if isinstance(row, dict) else {} for row in listed]
    return [(row.get("name"), row.get("id"), row.get("body")) for row in rows]
