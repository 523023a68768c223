"""The only place where MongoDB and Redis clients are made."""

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
    """A store is not there at the start; the text says which and what to look at, and has no password in it."""


Document = dict[str, Any]
Mongo = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Indexes = Mapping[str, list[IndexModel]]
"""Collection to its indexes; every stage names its own."""

DURABLE = WriteConcern(w="majority", j=True)
SNAPSHOT = ReadConcern("snapshot")

NODE_STATE_CHANGE_CODES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
"""MongoDB's codes for a node that shuts down, steps down or is interrupted by that."""

NAMESPACE_EXISTS = 48
INDEX_BUILD_TIMEOUT_S = (
    3600.0  # one over millions of notifications takes minutes; None would mean the client's own timeoutMS
)
MAX_CALLS = 96  # under way in one client; its pool has a few connections more
REDIS_TIMEOUT_S = 2.0  # a frozen server is noticed, and what waits for it is told anew


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
    """Finds MongoDB and makes the indexes. Raises StoreUnavailable, after as long as a commit may take."""
    try:
        await database.command("ping")  # making indexes would wait for a server as long as for an index
        await make_indexes(database, *indexes)
    except PyMongoError as error:
        what = "does not answer at" if is_outage(error) else "refuses the hub at"
        text = f"MongoDB {what} {redacted_host(settings.mongo_url)} (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None


def redacted_host(url: str) -> str:
    """Where an address leads, without the user, the password and the options in it."""
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(", Timeout:")[0] if str(error) else type(error).__name__


async def make_indexes(database: Database, *indexes: Indexes) -> None:
    """Makes what is missing, however long that takes. Safe to run from many processes at once."""
    with pymongo.timeout(INDEX_BUILD_TIMEOUT_S):
        for stage in indexes:
            for collection, models in stage.items():
                if models:
                    await database[collection].create_indexes(models)
                    continue
                # Transactions that make a collection conflict with one another, so it is made here.
                try:
                    await database.create_collection(collection)
                except CollectionInvalid:
                    pass
                except OperationFailure as error:  # another process made it between the look and the making
                    if error.code != NAMESPACE_EXISTS:
                        raise


def is_outage(error: PyMongoError) -> bool:
    """Whether it says that MongoDB is away, electing or too slow, rather than that the hub asked it something wrong."""
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
    """Whether this task is to end. redis-py sends within `asyncio.wait_for`, which until Python 3.12 swallows a
    cancellation that comes just as it is done: loops that talk to Redis ask, or would go on for ever."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def pubsub_client(settings: Settings) -> Redis:
    """A client for one pub/sub connection. It never reconnects by itself: what was published meanwhile is lost, and
    whoever listens has to know. The timeout is for the first words on a new connection; listening has none."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        max_connections=2,
    )
