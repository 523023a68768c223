"""`hub backup`: copy the database to a folder or an S3 bucket."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.target_hub import fail, load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.backup.manifest import Manifest
    from hub.backup.storage import Storage
    from hub.platform.connections import Database

S3_SCHEME = "s3://"
DATE = "{date}"
TIMEOUT_S = 60.0  # of one call to MongoDB, which reads or writes up to 16 MiB
CONNECT_TIMEOUT_S = 5.0
STOPPED = "Stopped. Run the command again: it continues if MongoDB still has the snapshot."

Target = Annotated[
    str,
    typer.Argument(
        help="An empty folder, or s3://BUCKET/PREFIX without objects. {date} is replaced by the date in UTC.",
        show_default=False,
    ),
]


def backup(target: Target) -> None:
    """Copy the database to a folder or an S3 bucket, as it is at one time. The hub can be used meanwhile.

    Run it with the environment of the hub, which contains HUB_MONGO_URL and HUB_MONGO_DATABASE. The backup contains
    everything, such as personal data, stored credentials, and the key of signed links, but no messages that `hub dev`
    captured. If the command is stopped, run it again: it continues. S3 uses the standard variables of AWS, such as
    AWS_REGION. The database records the time of the backup, so `hub doctor` and an alert report if the newest backup is
    old.

    Example: hub backup s3://backups.example.org/hub/{date}
    """
    from pymongo.errors import PyMongoError

    from hub.backup.manifest import ManifestError
    from hub.backup.storage import StorageError
    from hub.backup.writer import BackupError
    from hub.platform.connections import StoreUnavailable, first_line

    try:
        asyncio.run(_backup(target.replace(DATE, datetime.now(UTC).date().isoformat())))
    except (BackupError, ManifestError, StorageError, StoreUnavailable) as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}. {STOPPED}")
    except KeyboardInterrupt:
        fail(STOPPED, 130)


async def _backup(target: str) -> None:
    import pymongo

    from hub.backup.writer import BackupError, BackupWriter
    from hub.platform import connections, stored_data_version
    from hub.status import captured

    started_s = time.monotonic()
    settings = load_settings().model_copy(update={"commit_deadline_s": TIMEOUT_S})
    async with connections.mongo(settings) as database, open_storage(target) as storage:
        with pymongo.timeout(CONNECT_TIMEOUT_S):
            await connections.check_connection(database, settings)
        await stored_data_version.check_no_restore(database)
        version = await stored_data_version.read_version(database)
        if version is None:
            raise BackupError(f"The database {database.name} contains no data of a hub (HUB_MONGO_DATABASE).")
        writer = BackupWriter(database, storage, version, [captured.COLLECTION], report)
        manifest = await writer.run()
        await _record(database, manifest)
    print(
        f"{manifest.documents:,} documents of {len(manifest.collections)} collections, {manifest.bytes:,} bytes, as of "
        f"{manifest.snapshot_at}, in {time.monotonic() - started_s:.0f} s."
    )


async def _record(database: "Database", manifest: "Manifest") -> None:
    """Record the time of the backup in the database. The backup is complete also if that fails."""
    from pymongo.errors import PyMongoError

    from hub.backup.backup_record import record_backup
    from hub.platform.connections import first_line

    try:
        await record_backup(database, datetime.fromisoformat(manifest.snapshot_at))
    except PyMongoError as error:
        report(
            f"The backup is complete, but its time could not be recorded in MongoDB: {first_line(error)}. "
            "HubBackupOld and `hub doctor` therefore ignore it."
        )


@asynccontextmanager
async def open_storage(target: str) -> "AsyncIterator[Storage]":
    """Yield the storage of a backup: a folder, or `s3://bucket/prefix`. Raise StorageError."""
    if target.startswith(S3_SCHEME):
        from hub.backup.s3 import open_bucket

        async with open_bucket(target) as bucket:
            yield bucket
        return
    from hub.backup.storage import Folder

    yield Folder(Path(target))


def report(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)
