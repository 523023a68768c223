"""Operations that clients identify by the hash of the query text instead of sending the text.

Without a manifest, the hub supports automatic persisted queries in the format of Apollo clients. An unknown hash raises
PersistedQueryNotFound, and the client sends the hash again with the text. Processes cache the texts and share them
through Redis. Without Redis, clients must send texts more often.

With `HUB_OPERATION_ALLOWLIST`, only the operations in that manifest are executed.
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
from hub.platform.redis_errors import REDIS_ERRORS
from hub.platform.redis_key_repair import with_key_repair
from hub.settings import ConfigurationError, Settings

SETTING = "HUB_OPERATION_ALLOWLIST"
APOLLO_FORMAT = "apollo-persisted-query-manifest"
HASH = re.compile(r"[0-9a-f]{64}")
TEXT_MAX_CHARS = 8 << 10  # characters; a longer text is not stored, so the client sends it each time
REDIS_TIMEOUT_S = 0.1  # waiting longer would be slower than requesting the text from the client
REDIS_PAUSE_S = 1.0  # time without Redis calls after Redis did not respond
REDIS_CONCURRENCY = 4  # concurrent calls, because other code shares the connection pool

T = TypeVar("T")

log = structlog.get_logger(__name__)


def sha256_hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class AutomaticPersistedQueries:
    """Texts that clients have sent with their hash. The most recently used texts are kept here and in Redis."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._prefix = f"{settings.redis_prefix}query:"
        self._used_at = f"{settings.redis_prefix}queries"
        self._max_entries = settings.persisted_max_queries
        self._ttl_s = settings.persisted_query_days * 86_400
        self._texts: LRUCache[str, str] = LRUCache(settings.persisted_max_queries)
        self._slots = asyncio.Semaphore(REDIS_CONCURRENCY)
        self._redis_retry_at = 0.0

    async def resolve(self, hash: str, query: str) -> str:
        """Return `query`, or the stored text if `query` is empty.

        Raise PersistedQueryNotFound for an unknown hash, and BadUserInput if `query` has a different hash.
        """
        if query:
            if self._texts.get(hash) != query and sha256_hex(query) != hash:
                raise BadUserInput("The hash is not the SHA-256 of `query`.", "extensions.persistedQuery.sha256Hash")
            return query
        text = self._texts.get(hash)
        if text is None and HASH.fullmatch(hash):
            text = await self._try_redis(hash, lambda: self._fetch(hash))
        metrics.persisted.labels("unknown" if text is None else "known").inc()
        if text is None:
            raise PersistedQueryNotFound
        return text

    async def store(self, hash: str, text: str) -> None:
        """Store a valid query text, so clients do not need to send it again."""
        if hash not in self._texts and len(text) <= TEXT_MAX_CHARS:
            self._texts[hash] = text
            await self._try_redis(hash, lambda: self._share(hash, text))

    async def _try_redis(self, hash: str, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of a Redis call, or None if Redis does not respond."""

        async def types() -> dict[str, str]:
            return {self._prefix + hash: "string", self._used_at: "zset"}

        if monotonic() < self._redis_retry_at:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S), self._slots:
                return await with_key_repair(self._redis, call, types)
        except REDIS_ERRORS as error:
            self._redis_retry_at = monotonic() + REDIS_PAUSE_S
            metrics.persisted_redis_errors.inc()
            log.debug("persisted_query_redis_failed", error=repr(error))
            return None

    async def _fetch(self, hash: str) -> str | None:
        if cached := self._texts.get(hash):  # another request fetched the text while this request waited
            return cached
        stored: Any = await self._redis.getex(self._prefix + hash, ex=self._ttl_s)
        if stored is None or sha256(stored).hexdigest() != hash:
            return None
        await self._redis.zadd(self._used_at, {hash: time()})
        text: str = stored.decode()
        self._texts[hash] = text
        return text

    async def _share(self, hash: str, text: str) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._prefix + hash, text, ex=self._ttl_s)
        pipeline.zadd(self._used_at, {hash: time()})
        pipeline.expire(self._used_at, self._ttl_s)
        pipeline.zcard(self._used_at)
        *_, count = await pipeline.execute()
        if count > self._max_entries:
            oldest: Any = await self._redis.zpopmin(self._used_at, count - self._max_entries)
            await self._redis.unlink(*(self._prefix.encode() + hash for hash, _ in oldest))


class OperationAllowlist:
    """The operations of a manifest by id, by the SHA-256 of the text, and by the exact text."""

    def __init__(self, operations: dict[str, str]) -> None:
        self.texts = frozenset(operations.values())
        self._by_id = {sha256_hex(text): text for text in self.texts} | operations

    async def resolve(self, hash: str, query: str) -> str:
        """Return the listed text with this id, or `query` if it is listed. `hash` may be empty.

        Raise OperationNotAllowed, or BadUserInput if the two are different operations.
        """
        text = self._by_id.get(hash) if hash else query
        if text not in self.texts:
            raise OperationNotAllowed(f"This operation is not listed in the manifest ({SETTING}).")
        if query not in {"", text}:
            raise BadUserInput("The hash belongs to another `query`.", "extensions.persistedQuery.sha256Hash")
        metrics.persisted.labels("listed").inc()
        return text

    async def store(self, hash: str, text: str) -> None:
        """Do nothing, because the list does not change."""


def read_manifest(path: Path, validate: Callable[[str], str | None]) -> OperationAllowlist:
    """Return the operations of an Apollo manifest, or of a JSON object of texts by id.

    `validate` returns an error message for an invalid text. Raise ConfigurationError, which names the operation.
    """
    try:
        manifest = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{SETTING}: {path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{SETTING}: {path} is not JSON: {error}.") from None
    operations: dict[str, str] = {}
    for name, id, text in _entries(manifest, path):
        subject = f"{SETTING}: {path}: operation {name or id or text!s:.80}"
        if not isinstance(id, str) or not id or not isinstance(text, str):
            raise ConfigurationError(f"{subject} must have an id and a text, both strings.")
        if operations.get(id, text) != text:
            raise ConfigurationError(f"{subject}: another operation has the same id {id:.80}.")
        if message := validate(text):
            raise ConfigurationError(f"{subject} does not fit the schema: {message}")
        operations[id] = text
    if not operations:
        raise ConfigurationError(f"{SETTING}: {path} lists no operations, so nothing could run.")
    return OperationAllowlist(operations)


def _entries(manifest: Any, path: Path) -> list[tuple[Any, Any, Any]]:
    """Return the name, id, and text of each operation."""
    if isinstance(manifest, dict) and "format" not in manifest:
        return [(None, id, text) for id, text in manifest.items()]
    entries = manifest.get("operations") if isinstance(manifest, dict) else None
    if not isinstance(entries, list) or (manifest["format"], manifest.get("version")) != (APOLLO_FORMAT, 1):
        raise ConfigurationError(
            f"{SETTING}: {path} is neither an {APOLLO_FORMAT} of version 1 nor a JSON object of texts by id."
        )
    rows = [row if isinstance(row, dict) else {} for row in entries]
    return [(row.get("name"), row.get("id"), row.get("body")) for row in rows]
