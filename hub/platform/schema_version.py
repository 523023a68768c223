"""The version of the stored data, checked when a process starts.

- A new field, enum value or collection does not change the major version: processes of both versions run side by side
  during an upgrade.
- A change that older processes would misread increments it. Older processes then refuse to start.
"""

from msgspec import Struct
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from hub.platform.connections import Database, StoreUnavailable, first_line
from hub.platform.decoding import decode

MAJOR = 1
COLLECTION = "migrations"
ID = "schema"


class _SchemaVersion(Struct, frozen=True):
    major: int


async def check_version(database: Database) -> None:
    """Note the version where there is none yet. Raise StoreUnavailable if a newer version of the hub wrote what is
    there."""
    try:
        mine = {"$setOnInsert": {"major": MAJOR}}
        doc = await database[COLLECTION].find_one_and_update(
            {"_id": ID}, mine, upsert=True, return_document=ReturnDocument.AFTER
        )
    except PyMongoError as error:
        text = f"The schema version could not be read from MongoDB (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None
    found = decode(doc or {}, _SchemaVersion)
    if found is None or found.major > MAJOR:
        stored = "of an unknown version" if found is None else f"of version {found.major}"
        raise StoreUnavailable(
            f"The data in MongoDB is {stored}, and this hub reads version {MAJOR}: a newer hub wrote it. Start that "
            "version or a later one, or restore a backup from before the upgrade (HUB_MONGO_URL, HUB_MONGO_DATABASE)."
        )
