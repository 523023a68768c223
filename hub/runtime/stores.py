"""The connections of one process to MongoDB, Redis, and the outside."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from hub.platform import connections, index_builds, stored_data_version
from hub.platform.connections import Database, StoreUnavailable
from hub.platform.encryption import Encryption, create_encryption
from hub.platform.hub_clock import HubClock, read_clocks
from hub.platform.index_builds import IndexState, names_of
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.server_clock import ServerClock
from hub.platform.signed_links import load_signing_key
from hub.runtime.indexes import OBSOLETE, indexes
from hub.settings import Settings
from hub.workflows.credential_encryption import CredentialEncryption

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """The connections. `streams` is a second MongoDB client with its own pool, because a change stream occupies its
    connection most of the time and would delay commits."""

    database: Database
    streams: Database
    redis: Redis
    server_clock: ServerClock
    hub_clock: HubClock
    outbound_http: OutboundHTTP
    signing_key: bytes
    encryption: Encryption


async def connect(settings: Settings, stack: AsyncExitStack) -> Stores:
    """Connect to the stores. Create the indexes of empty collections, and in development all missing ones. Raise
    connections.StoreUnavailable."""
    database = await stack.enter_async_context(connections.mongo(settings))
    remaining = await open_database(database, settings)
    if settings.mode == "development":
        await build_indexes(database, settings)
    elif remaining.missing or remaining.different:
        raise StoreUnavailable(_describe_remaining(remaining))
    encryption = create_encryption(settings)
    await CredentialEncryption(database, encryption).log_missing_keys()
    server_clock, hub_clock = await read_clocks(database, movable=settings.mode == "development")
    return Stores(
        database=database,
        signing_key=await load_signing_key(database),
        encryption=encryption,
        redis=await stack.enter_async_context(connections.redis(settings)),
        outbound_http=await stack.enter_async_context(OutboundHTTP(settings.egress_allow)),
        streams=await stack.enter_async_context(connections.mongo(settings, settings.receipt_max_streams + 1)),
        server_clock=server_clock,
        hub_clock=hub_clock,
    )


async def open_database(database: Database, settings: Settings) -> IndexState:
    """Check the connection and the version of the data, and do what takes no time. Return what is left for
    `hub migrate`. Raise connections.StoreUnavailable."""
    await connections.check_connection(database, settings)
    await stored_data_version.check_version(database)
    with connections.explained_errors(settings):
        return await index_builds.prepare(database, *indexes(settings))


async def build_indexes(database: Database, settings: Settings) -> None:
    """Create missing indexes, also over stored documents, and drop those of earlier versions. Raise
    connections.StoreUnavailable."""
    with connections.explained_errors(settings):
        remaining = await index_builds.prepare(database, *indexes(settings))
        async for names, documents in index_builds.build(database, remaining.missing):
            log.info("indexes_building", indexes=names, documents=documents)
        await index_builds.drop(database, OBSOLETE)


def _describe_remaining(remaining: IndexState) -> str:
    if remaining.different:
        return (
            f"Indexes in MongoDB have other keys or options than those of this version: "
            f"{names_of(remaining.different)}. Drop them, and run `hub migrate` (HUB_MONGO_DATABASE)."
        )
    return (
        f"MongoDB does not have all indexes of this version: {names_of(remaining.missing)}. Run `hub migrate` of this "
        "version with the same settings, and start this process again. Processes of the earlier version may run "
        "meanwhile."
    )
