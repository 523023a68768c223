"""Creates all clients of MongoDB and Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, ConnectionFailure, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.platform.mongo_client import Client
from hub.settings import Settings


class StoreUnavailable(Exception):
    """A store cannot be used when the process starts. The text names the store and the setting, and contains no
    password."""


Document = dict[str, Any]
Mongo = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Indexes = Mapping[str, list[IndexModel]]
"""Indexes by collection. Each stage names its own."""

DURABLE = WriteConcern(w="majority", j=True)
SNAPSHOT = ReadConcern("snapshot")

NODE_STATE_CHANGE_CODES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
"""Error codes of a node that shuts down or steps down."""

NAMESPACE_EXISTS = 48
INDEX_BUILD_TIMEOUT_S = (
    3600.0  # one over millions of notifications takes minutes; None would mean the client's own timeoutMS
)
MAX_CALLS = 96  # concurrent calls of one client; its pool has a few more connections
REDIS_TIMEOUT_S = 2.0  # a frozen server is detected, and pending messages are sent again


@asynccontextmanager
async def mongo(settings: Settings, calls: int = MAX_CALLS) -> AsyncIterator[Database]:
    """The database. Writes are majority-committed and journalled; the client belongs to the running loop. No call waits
    longer than a commit may, so that a frozen server is an answer too. Raises StoreUnavailable for what is no
    address."""
    deadline_ms = int(settings.commit_deadline_s * 1000)
    try:
        client = Client(
            settings.mongo_url,
            calls,
            appname="hub",
            tz_aware=True,
            timeoutMS=deadline_ms,
            serverSelectionTimeoutMS=deadline_ms,
            connectTimeoutMS=2000,
        )
    except (
        PyMongoError,
        ValueError,
        OSError,
    ) as error:  # OSError: a file that it names; its text may quote a part of the address
        why = "" if "@" in settings.mongo_url else f": {first_line(error)}"
        raise StoreUnavailable(f"HUB_MONGO_URL is no address of a MongoDB{why}") from None
    try:
        yield client.get_database(
            settings.mongo_database,
            codec_options=CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_CLAMP),
            read_preference=ReadPreference.PRIMARY,
            write_concern=DURABLE,
            read_concern=ReadConcern("majority"),
        )
    finally:
        await client.close()


async def connect_and_migrate(database: Database, settings: Settings, *indexes: Indexes) -> None:
    """Check that MongoDB responds and create missing indexes. Raise StoreUnavailable after the commit deadline."""
    try:
        await database.command("ping")  # create_indexes would wait for a server as long as for an index
        await make_indexes(database, *indexes)
    except PyMongoError as error:
        what = "does not answer at" if is_outage(error) else "refuses the hub at"
        text = f"MongoDB {what} {redacted_host(settings.mongo_url)} (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None


def redacted_host(url: str) -> str:
    """Return the hosts of a URL, without user, password and options."""
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(", Timeout:")[0] if str(error) else type(error).__name__


async def make_indexes(database: Database, *indexes: Indexes) -> None:
    """Create missing indexes and collections. Safe to run in several processes at once."""
    with pymongo.timeout(INDEX_BUILD_TIMEOUT_S):
        for stage in indexes:
            for collection, models in stage.items():
                if models:
                    await database[collection].create_indexes(models)
                    continue
                # Transactions that create a collection conflict with each other, so it is created here.
                try:
                    await database.create_collection(collection)
                except CollectionInvalid:
                    pass
                except OperationFailure as error:  # another process created it in the meantime
                    if error.code != NAMESPACE_EXISTS:
                        raise


def is_outage(error: PyMongoError) -> bool:
    """Return whether MongoDB is unavailable, electing or too slow, rather than the request being wrong."""
    return (
        error.timeout
        or isinstance(error, ConnectionFailure)
        or error.has_error_label("TransientTransactionError")
        or error.has_error_label("RetryableWriteError")
        or (isinstance(error, OperationFailure) and error.code in NODE_STATE_CHANGE_CODES)
    )


@asynccontextmanager
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The client for commands: one try, short timeouts. Its callers live with failure. Raises StoreUnavailable where
    the address is none."""
    try:
        client = Redis.from_url(
            settings.redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=20,
        )
        # Connects to nothing yet, and refuses what is behind the `?` and no option.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):  # its text may quote a part of the address
        raise StoreUnavailable("HUB_REDIS_URL is no address of a Redis: it begins with redis:// or rediss://") from None
    try:
        yield client
    finally:
        await client.aclose()


def is_cancelling() -> bool:
    """Return whether this task was cancelled. redis-py uses `asyncio.wait_for`, which before Python 3.12 can swallow a
    cancellation, so loops that call Redis check this to end at all."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def pubsub_client(settings: Settings) -> Redis:
    """Return a client for one pub/sub connection. It never reconnects by itself, because messages published meanwhile
    are lost and the subscriber has to reconcile. The timeout applies to connecting; listening has none."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        max_connections=2,
    )
