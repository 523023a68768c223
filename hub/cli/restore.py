"""`hub restore`: load a backup into an empty database, and prepare the data for a hub."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.backup import CONNECT_TIMEOUT_S, TIMEOUT_S, open_storage, report
from hub.cli.target_hub import fail, load_settings

if TYPE_CHECKING:
    from hub.platform.connections import Database
    from hub.settings import Settings

STOPPED = "The restore is not complete. Run the command again: it prints how to continue."

Source = Annotated[str, typer.Argument(help="The folder or s3://BUCKET/PREFIX of `hub backup`.", show_default=False)]
Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help="Prepare data that was restored by other means, such as a snapshot of MongoDB's volume, without SOURCE.",
    ),
]
SendWaiting = Annotated[
    bool,
    typer.Option(
        "--send-waiting",
        help="Send what waited. Whatever was sent between the backup and the failure is sent again.",
    ),
]


def restore(source: Source = "", adopt: Adopt = False, send_waiting: SendWaiting = False) -> None:
    """Load a backup into an empty database, and prepare it for the hub.

    Stop all processes of the hub first, and run the command with their environment. It refuses a database that contains
    documents, and backups of another major version of the hub. Every inbox gets a new epoch, so clients load it again
    and miss nothing. Deliveries, webhook calls, and events that waited become HELD with the reason RESTORED, and sends
    that were not complete are paused: `hub doctor` counts them, and `hub replay --reason restored` releases them. The
    hub's keys in Redis are deleted.

    Example: hub restore s3://backups.example.org/hub/2026-11-30
    """
    from pymongo.errors import PyMongoError

    from hub.backup.loader import RestoreError
    from hub.backup.storage import StorageError
    from hub.platform.connections import StoreUnavailable, first_line

    if bool(source) == adopt:
        fail("Name the folder or s3:// prefix of a backup, or use --adopt for data that is in MongoDB already.", 2)
    try:
        complete = asyncio.run(_restore(source, send_waiting=send_waiting))
    except (RestoreError, StorageError, StoreUnavailable) as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}. {STOPPED}")
    except KeyboardInterrupt:
        fail(STOPPED, 130)
    if not complete:
        fail("The counts of some inboxes are wrong. Compare the backup with another one, or report this as a bug.")


async def _restore(source: str, *, send_waiting: bool) -> bool:
    """Return True if the counts of the sample are correct."""
    import pymongo

    from hub.backup.loader import RestoreError, check_empty, load, read_manifest
    from hub.platform import connections, stored_data_version
    from hub.platform.redis_errors import REDIS_ERRORS

    started_s = time.monotonic()
    settings = load_settings().model_copy(update={"commit_deadline_s": TIMEOUT_S})
    async with connections.mongo(settings) as database, connections.redis(settings) as redis:
        with pymongo.timeout(CONNECT_TIMEOUT_S):
            await connections.check_connection(database, settings)
        try:
            await redis.ping()
        except REDIS_ERRORS as error:
            text = f"Redis cannot be used (HUB_REDIS_URL): {connections.first_line(error)}"
            raise connections.StoreUnavailable(text) from None
        await stored_data_version.check_no_restore(database, may_adopt=not source)
        if source:
            async with open_storage(source) as storage:
                manifest = await read_manifest(storage, stored_data_version.MAJOR)
                await check_empty(database)
                await stored_data_version.begin_restore(database, loaded=False)
                await load(database, storage, manifest, report)
            text = f"{manifest.documents:,} documents as of {manifest.snapshot_at}"
            report(f"{text} are loaded after {time.monotonic() - started_s:.0f} s.")
        elif (version := await stored_data_version.read_version(database)) is None:
            raise RestoreError(f"The database {database.name} contains no data of a hub (HUB_MONGO_DATABASE).")
        elif version != stored_data_version.MAJOR:
            text = f"The data has version {version}. This hub reads version {stored_data_version.MAJOR}."
            raise RestoreError(f"{text} Use the version of the hub that wrote the data, and then upgrade.")
        await stored_data_version.begin_restore(database, loaded=True)
        correct = await _prepare(database, settings, send_waiting=send_waiting)
        await _flush_redis(settings)
        await stored_data_version.end_restore(database)
    print(f"The restore is complete after {time.monotonic() - started_s:.0f} s. Start the processes of the hub.")
    return correct


async def _prepare(database: "Database", settings: "Settings", *, send_waiting: bool) -> bool:
    """Prepare the data. Print the result. Return True if the counts of the sample are correct."""
    from hub.audience.tenants import list_tenants
    from hub.platform.audit import record_command
    from hub.platform.hub_clock import read_clocks
    from hub.runtime.stores import build_indexes
    from hub.workflows.restored_work import RestoredWork

    report("The indexes are checked ...")
    await build_indexes(database, settings)
    server_clock, hub_clock = await read_clocks(database, movable=settings.mode == "development")
    work = RestoredWork(database, settings, hub_clock.now, server_clock.now)
    renewed = await work.renew_epochs(lambda count: report(f"{count:,} inboxes have a new epoch ..."))
    print(f"{renewed:,} inboxes have a new epoch.")
    await record_command(database, await list_tenants(database), "hub restore", {"sendWaiting": send_waiting})
    if not send_waiting:
        held = await work.hold()
        print(
            f"Held: {held.deliveries:,} deliveries, {held.webhook_calls:,} webhook calls, {held.events:,} events. "
            f"Paused: {held.sends:,} sends. Stopped: {held.batches:,} replays and cancellations."
        )
    size, wrong = await work.recount()
    print(f"{size - len(wrong):,} of a sample of {size:,} inboxes have correct counts.")
    return not wrong


async def _flush_redis(settings: "Settings") -> None:
    from hub.platform import connections
    from hub.platform.redis_errors import REDIS_ERRORS
    from hub.platform.redis_flush import flush_prefix

    try:
        async with connections.redis(settings) as redis:
            count = await flush_prefix(redis, settings.redis_prefix)
    except REDIS_ERRORS as error:
        text = f"Redis cannot be used (HUB_REDIS_URL): {connections.first_line(error)}"
        raise connections.StoreUnavailable(f"{text}. Complete the restore with `hub restore --adopt`.") from None
    print(f"{count:,} keys were deleted in Redis.")
