"""The version of what is stored in MongoDB, checked when a process starts.

- A new field, enum value or collection leaves the major version as it is: processes of both versions run beside one
  another while a hub is upgraded.
- A change that older processes would misread raises it. Older processes then do not start any more.
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
        text = f"MongoDB does not say which version its data has (HUB_MONGO_URL): {first_line(error)}"
        raise StoreUnavailable(text) from None
    found = decode(doc or {}, _SchemaVersion)
    if found is None or found.major > MAJOR:
        stored = "of an unknown version" if found is None else f"of version {found.major}"
        raise StoreUnavailable(
            f"The data in MongoDB is {stored}, and this hub reads version {MAJOR}: a newer hub wrote it. Start that "
            "version or a later one, or restore a backup from before the upgrade (HUB_MONGO_URL, HUB_MONGO_DATABASE)."
        )
