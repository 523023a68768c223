"""Optimistic updates: read documents, compute the new documents, and write them if the stored ones have not changed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from hub.platform.audit import AuditedAction
from hub.platform.connections import DURABLE, SNAPSHOT, Database, is_retryable

MAX_RETRY_DELAY_S = 0.01  # after a conflict with another process

T = TypeVar("T")


class SerializedUpdates:
    """Runs the updates of one document in sequence within this process."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, id: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Call `attempt` until it returns a value, and return the value. Raise PyMongoError at the deadline."""
        lock = self._locks.setdefault(id, asyncio.Lock())
        async with lock:
            with pymongo.timeout(self._deadline_s):
                while (after := await attempt()) is None:
                    await asyncio.sleep(random.uniform(0, MAX_RETRY_DELAY_S))  # noqa: S311 - jitter
                return after


async def try_transaction(
    database: Database, apply: Callable[[AsyncClientSession], Awaitable[T]], audit: AuditedAction | None = None
) -> T | None:
    """Commit the writes of `apply` and return its result. Return None if another process changed the same documents in
    the meantime. `audit`: the action whose entries `apply` writes."""
    if audit:
        audit.discard()
    try:
        async with (
            database.client.start_session(causal_consistency=False) as session,
            await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE),
        ):
            result = await apply(session)
    except PyMongoError as error:
        if not is_retryable(error):
            raise
        return None
    if audit:
        await audit.write_log_lines()
    return result
