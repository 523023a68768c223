"""The repair of Redis keys with the hub's prefix that the hub did not write.

Data in Redis can be recreated. A key with an unexpected type or value is deleted, and written again when it is needed.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

INTEGER = "integer"  # a string that contains an integer
FOREIGN = ("WRONGTYPE", "not an integer", "attempt to")
"""Parts of error texts about unexpected values. The last one comes from our own scripts."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


def is_foreign(error: BaseException) -> bool:
    """Return True if a key with an unexpected value caused the error."""
    return isinstance(error, ResponseError) and any(part in str(error) for part in FOREIGN)


async def with_key_repair(
    redis: Redis, call: Callable[[], Awaitable[T]], types: Callable[[], Awaitable[Mapping[str, str]]]
) -> T:
    """Return the result of `call`. If a key has an unexpected type, delete it and run `call` again.

    `types` returns the expected type of each key."""
    try:
        return await call()
    except ResponseError as error:
        if not is_foreign(error):
            raise
    await drop_foreign(redis, await types())
    return await call()


async def drop_foreign(redis: Redis, types: Mapping[str, str]) -> None:
    """Delete the keys whose type or value differs from `types` (key to type)."""
    keys = list(types)
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
    stored = dict(zip(keys, await pipeline.execute(), strict=True))
    foreign = [key for key, kind in stored.items() if kind.decode() not in {"none", _redis_type(types[key])}]
    for key, kind in stored.items():
        if types[key] == INTEGER and kind == b"string" and not _is_integer(await redis.get(key)):
            foreign.append(key)
    if foreign:
        log.warning("foreign_keys_deleted", keys=foreign[:10], count=len(foreign))
        await redis.unlink(*foreign)


def _redis_type(type_: str) -> str:
    return "string" if type_ == INTEGER else type_


def _is_integer(value: Any) -> bool:
    try:
        return value is None or abs(int(value)) < 1 << 63
    except ValueError:
        return False
