"""The task that converts users which another version of the hub stored, or which were stored with another value of
HUB_INDEXED_ATTRIBUTES.

- Attributes that are JSON text become documents.
- The fields in `search_fields.py` are computed again.

Users with another `search_version` are converted in slices, and their index is the list of what remains: a task that
was interrupted continues, and a user that a process with another setting writes is converted again. Meanwhile, searches
and filters miss users that were not converted yet. All else works.

If workers have different settings, only those with the setting of the worker that started last convert. Otherwise they
would convert each other's users until the last of them is restarted.
"""

from typing import Any

import orjson
from pymongo import UpdateOne

from hub.audience.attributes import valid_attributes
from hub.audience.search_fields import SearchFields
from hub.audience.users import COLLECTION
from hub.errors import BadUserInput
from hub.model import tenant_of
from hub.platform import stored_data_version
from hub.platform.connections import Database, Document

SLICE = 500
ID = "user_search"
INPUTS = ("email", "name", "attributes")


class UserConversion:
    def __init__(self, database: Database, search_fields: SearchFields) -> None:
        self._users = database[COLLECTION]
        self._migrations = database[stored_data_version.COLLECTION]
        self._fields = search_fields
        self._is_registered = False

    async def tick(self) -> int:
        """Convert the next slice. Return the number of users in it."""
        version = self._fields.version
        if not self._is_registered:
            await self._migrations.update_one({"_id": ID}, {"$set": {"search_version": version}}, upsert=True)
            self._is_registered = True
        match = {"search_version": {"$ne": version}}
        docs = await self._users.find(match, dict.fromkeys(INPUTS, 1), hint="search_version").limit(SLICE).to_list()
        if not docs or not await self._migrations.find_one({"_id": ID, "search_version": version}):
            return 0
        await self._users.bulk_write([self._update(doc) for doc in docs], ordered=False)
        return len(docs)

    def _update(self, doc: Document) -> UpdateOne:
        """Return the update that converts a user, unless its profile has changed since it was read."""
        unchanged = {name: {"$eq": doc.get(name)} for name in INPUTS}  # None: the field is not set
        attributes = _converted(doc.get("attributes"))
        fields = self._fields.of_profile({"email": None, "name": None} | doc | {"attributes": attributes})
        stored = {name: value for name, value in fields.items() if value is not None}
        stored |= {"tenant": tenant_of(doc["_id"]), "search_version": self._fields.version}
        if attributes != doc.get("attributes"):
            stored["attributes"] = attributes
        update: Document = {"$set": stored}
        if removed := {name: "" for name, value in fields.items() if value is None}:
            update["$unset"] = removed
        return UpdateOne({"_id": doc["_id"], **unchanged}, update)


def _converted(attributes: Any) -> Any:
    """Return attributes as a document. Text that the hub no longer accepts is returned unchanged."""
    if not isinstance(attributes, str):
        return attributes
    try:
        return valid_attributes(orjson.loads(attributes), "attributes")
    except (ValueError, BadUserInput):
        return attributes
