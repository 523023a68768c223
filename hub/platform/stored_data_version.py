"""The version of the stored data. A process checks it when it starts.

- A new field, enum value, or collection does not change the major version. Processes of both versions run at the same
  time during an upgrade.
- A change that older processes would misinterpret increments the major version. Older processes then do not start.
- Version 3 is converted: its version becomes 4 when the first process starts, and the workers convert its users
  (`hub/audience/user_conversion.py`).
- Versions 1 and 2 were never released, and no code converts them. A process refuses them: in version 1, the same index
  names have other keys, and MongoDB's error would not say why; in version 2, a lease is stored in `due_at`.
"""

from msgspec import Struct
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from hub.platform.connections import Database, StoreUnavailable, first_line
from hub.platform.tolerant_decoding import decode

MAJOR = 4
CONVERTED = 3
COLLECTION = "migrations"
ID = "schema"
RESTORE_ID = "restore"
"""The id of the document that exists while a restore is not complete."""


class _SchemaVersion(Struct, frozen=True):
    major: int


async def check_version(database: Database) -> None:
    """Store the version if none or CONVERTED is stored. Raise StoreUnavailable if another major version is stored, or
    if a restore is not complete."""
    try:
        await check_no_restore(database)
        await database[COLLECTION].update_one({"_id": ID, "major": CONVERTED}, {"$set": {"major": MAJOR}})
        doc = await database[COLLECTION].find_one_and_update(
            {"_id": ID}, {"$setOnInsert": {"major": MAJOR}}, upsert=True, return_document=ReturnDocument.AFTER
        )
    except PyMongoError as error:
        text = f"The schema version could not be read from MongoDB (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None
    stored = decode(doc or {}, _SchemaVersion)
    if stored is None or stored.major > MAJOR:
        version = "an unknown version" if stored is None else f"version {stored.major}"
        raise StoreUnavailable(
            f"The data in MongoDB has {version}, because a newer hub wrote it. This hub reads version {MAJOR}. Start "
            "the newer hub, or restore a backup from before the upgrade (HUB_MONGO_URL, HUB_MONGO_DATABASE)."
        )
    if stored.major < MAJOR:
        raise StoreUnavailable(
            f"The data in MongoDB has version {stored.major}, which an unreleased hub wrote. This hub reads version "
            f"{MAJOR} and cannot convert it. Use an empty database (HUB_MONGO_DATABASE). For `hub dev` or `make run`, "
            "remove the data folder or choose another one (--data, DATA)."
        )


async def read_version(database: Database) -> int | None:
    """Return the stored version, or None if the database contains no data of a hub."""
    stored = decode(await database[COLLECTION].find_one({"_id": ID}) or {}, _SchemaVersion)
    return stored.major if stored else None


async def check_no_restore(database: Database, *, may_adopt: bool = False) -> None:
    """Raise StoreUnavailable if a restore is not complete, unless `may_adopt` and only the data has to be prepared."""
    restore = await database[COLLECTION].find_one({"_id": RESTORE_ID})
    loaded = bool(restore and restore.get("loaded"))
    if restore and not (loaded and may_adopt):
        raise StoreUnavailable(_incomplete_restore(database.name, loaded=loaded))


async def begin_restore(database: Database, *, loaded: bool) -> None:
    """Record that a restore is not complete, so no process of the hub starts. `loaded`: the data is complete, and has
    to be prepared."""
    await database[COLLECTION].update_one({"_id": RESTORE_ID}, {"$set": {"loaded": loaded}}, upsert=True)


async def end_restore(database: Database) -> None:
    """Record that a restore is complete."""
    await database[COLLECTION].delete_one({"_id": RESTORE_ID})


def _incomplete_restore(database: str, *, loaded: bool) -> str:
    if loaded:
        return f"The restore into the database {database} is not complete. Complete it with `hub restore --adopt`."
    return (
        f"The restore into the database {database} was stopped, so its data is incomplete. Drop the database "
        f"(`use {database}` and `db.dropDatabase()` in mongosh), and restore the backup again."
    )
