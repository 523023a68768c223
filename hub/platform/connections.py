"""Creates the MongoDB and Redis clients."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from hub.platform.cancel_safe_mongo import Client
from hub.settings import Settings


class StoreUnavailable(Exception):
    """MongoDB or Redis cannot be used when the process starts. The text names the setting and contains no password."""


Document = dict[str, Any]
Mongo = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Indexes = Mapping[str, list[IndexModel]]
"""Indexes by collection. Each stage defines its own indexes."""

DURABLE = WriteConcern(w="majority", j=True)
SNAPSHOT = ReadConcern("snapshot")

NODE_STATE_CHANGE_CODES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
"""Error codes of a node that is shutting down or stepping down."""

DUPLICATE_KEY = 11000
NAMESPACE_EXISTS = 48
MAX_CALLS = 96  # concurrent calls per client. Its pool has a few more connections.
REDIS_MAX_CONNECTIONS = 100  # per process; an idle worker blocks one per channel. Above it, calls fail at once.
REDIS_TIMEOUT_S = 2.0  # detects a suspended server. Waiting messages are sent again.
REDIS_DRIVER = DriverInfo()  # made once, because it reads the metadata of the package


@asynccontextmanager
async def mongo(settings: Settings, calls: int = MAX_CALLS) -> AsyncIterator[Database]:
    """Yield the database. Writes are majority-committed and journaled. The client belongs to the running event loop.

    No call takes longer than the commit deadline. Raise StoreUnavailable for an invalid URL."""
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
    except (PyMongoError, ValueError, OSError) as error:  # OSError: a file in the URL's options
        why = "" if "@" in settings.mongo_url else f": {first_line(error)}"  # the error text may quote a password
        raise StoreUnavailable(f"HUB_MONGO_URL is not a valid MongoDB URL{why}") from None
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


@contextmanager
def explained_errors(settings: Settings) -> Iterator[None]:
    """Raise StoreUnavailable instead of the errors of MongoDB."""
    try:
        yield
    except PyMongoError as error:
        problem = "does not respond at" if is_outage(error) else "rejected the connection at"
        text = f"MongoDB {problem} {redacted_host(settings.mongo_url)} (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None


async def check_connection(database: Database, settings: Settings) -> None:
    """Raise StoreUnavailable if MongoDB does not respond before the commit deadline."""
    with explained_errors(settings):
        await database.command("ping")


def redacted_host(url: str) -> str:
    """Return the hosts in a URL, without the user, password, and options."""
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(", Timeout:")[0] if str(error) else type(error).__name__


def is_outage(error: PyMongoError) -> bool:
    """Return True if MongoDB is unavailable, is holding an election, or is too slow. False: the request is wrong."""
    return (
        error.timeout
        or isinstance(error, ConnectionFailure)
        or error.has_error_label("TransientTransactionError")
        or error.has_error_label("RetryableWriteError")
        or (isinstance(error, OperationFailure) and error.code in NODE_STATE_CHANGE_CODES)
    )


def is_retryable(error: PyMongoError) -> bool:
    """Return True if a transaction failed for a reason that another attempt may not meet: write conflicts, elections,
    connections lost before the commit, and duplicate keys.

    After a duplicate key, the next attempt reads the conflicting document."""
    if error.timeout:
        return False
    if error.has_error_label("TransientTransactionError"):
        return True
    if isinstance(error, OperationFailure):
        if error.code == DUPLICATE_KEY:
            return True
        details = error.details or {}
        return any(write_error.get("code") == DUPLICATE_KEY for write_error in details.get("writeErrors", []))
    return False


@asynccontextmanager
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """Yield the client for commands. The client has short timeouts and does not retry. Callers handle REDIS_ERRORS.

    Raise StoreUnavailable for an invalid URL."""
    try:
        client = Redis.from_url(
            settings.redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=REDIS_MAX_CONNECTIONS,
            driver_info=REDIS_DRIVER,
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # checks the options, does not connect
    except (ValueError, TypeError):  # the text may quote a password
        raise StoreUnavailable(
            "HUB_REDIS_URL is not a valid Redis URL. It begins with redis:// or rediss://, and its options must exist."
        ) from None
    try:
        yield client
    finally:
        await client.aclose()


def is_cancelling() -> bool:
    """Return True if this task was cancelled.

    redis-py uses `asyncio.wait_for`, which can lose a cancellation before Python 3.12. Loops that call Redis check this
    to determine when to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def pubsub_client(settings: Settings) -> Redis:
    """Return a client for one pub/sub connection.

    The client does not reconnect automatically, because messages that are published in the meantime are lost and the
    subscriber must reconcile. The timeout applies only to connecting, not to listening."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        max_connections=2,
        driver_info=REDIS_DRIVER,
    )
