"""What a call of Redis may raise, and keys under our prefix that hold what the hub did not write.

Everything in Redis is a cache: the truth is in MongoDB. So a key of another type or with another value is deleted, and
written again by whoever needs it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

REDIS_ERRORS = (RedisError, OSError, TimeoutError, EOFError, RuntimeError)
"""Whatever a call of Redis raises when Redis is away. RuntimeError: uvloop raises it for a connection that is closed
while a command is being written ("the handler is closed")."""

INTEGER = "integer"  # a string that holds one
FOREIGN = ("WRONGTYPE", "not an integer", "attempt to")
"""In the texts of errors about what a key holds. The last is of our own scripts, which meet no such value of ours."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


def is_foreign(error: BaseException) -> bool:
    """Whether Redis says that a key holds what the hub did not write."""
    return isinstance(error, ResponseError) and any(part in str(error) for part in FOREIGN)


async def with_key_repair(
    redis: Redis, call: Callable[[], Awaitable[T]], types: Callable[[], Awaitable[Mapping[str, str]]]
) -> T:
    """Return what `call` returns. If it meets a key that holds something else than the type in `types` (key to type),
    delete that key and call again."""
    try:
        return await call()
    except ResponseError as error:
        if not is_foreign(error):
            raise
    await drop_foreign(redis, await types())
    return await call()


async def drop_foreign(redis: Redis, types: Mapping[str, str]) -> None:
    """Delete those keys that hold something else than `types` says, key to type."""
    keys = list(types)
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
    found = dict(zip(keys, await pipeline.execute(), strict=True))
    foreign = [key for key, kind in found.items() if kind.decode() not in {"none", _stored_as(types[key])}]
    for key, kind in found.items():
        if types[key] == INTEGER and kind == b"string" and not _is_integer(await redis.get(key)):
            foreign.append(key)
    if foreign:
        log.warning("foreign_keys_deleted", keys=foreign[:10], count=len(foreign))
        await redis.unlink(*foreign)


def _stored_as(type_: str) -> str:
    return "string" if type_ == INTEGER else type_


def _is_integer(value: Any) -> bool:
    try:
        return value is None or abs(int(value)) < 1 << 63
    except ValueError:
        return False
