"""The connections of one process to MongoDB, Redis, and the outside."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis

from hub.platform import connections, stored_data_version
from hub.platform.connections import Database
from hub.platform.encryption import Encryption, create_encryption
from hub.platform.hub_clock import HubClock, read_clocks
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.server_clock import ServerClock
from hub.platform.signed_links import load_signing_key
from hub.runtime.indexes import indexes
from hub.settings import Settings
from hub.workflows.credential_encryption import CredentialEncryption


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
    """Connect to the stores and create missing indexes. Raise connections.StoreUnavailable."""
    database = await stack.enter_async_context(connections.mongo(settings))
    await connections.connect_and_migrate(database, settings)
    await stored_data_version.check_version(database)
    await connections.connect_and_migrate(database, settings, *indexes(settings))
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
