"""The resolutions of collapse keys: the notifications that they match, and the ones that are not complete."""

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo import ASCENDING

from hub.model import Record, live_keys, mailbox_of
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode_page

COLLECTION = "resolutions"  # needs no index: there are few resolutions, and complete ones are deleted


class Resolution(Record, frozen=True, rename={"id": "_id"}):
    """The removal of all live notifications with a collapse key that were created until `started_at`, from the
    inboxes of `users`, or of all users of the tenant if `users` is None. The mailboxes up to `after` are done."""

    id: str
    tenant: str
    collapse_key: str
    started_at: datetime
    users: tuple[str, ...] | None = None
    after: str = ""


class Resolutions:
    def __init__(self, database: Database) -> None:
        self._notifications = database.notifications
        self._resolutions = database[COLLECTION]

    async def count(self, resolution: Resolution) -> int:
        """Return the number of live notifications that a resolution matches, read from the index alone. A notification
        that was created after the resolution began is also counted."""
        return await self._notifications.count_documents(_match_live(resolution), hint=_index_for(resolution))

    async def next_mailboxes(self, resolution: Resolution, limit: int) -> list[str]:
        """Return the mailboxes of the next `limit` notifications that a resolution matches, in order. A mailbox may
        occur twice."""
        docs = self._notifications.find(_match(resolution), {"mailbox": 1}, hint=_index_for(resolution))
        return [doc["mailbox"] async for doc in docs.sort("mailbox", ASCENDING).limit(limit)]

    async def store(self, resolution: Resolution) -> None:
        """Store a resolution that is not complete, or how far it is complete."""
        values = {"tenant": resolution.tenant, "collapse_key": resolution.collapse_key, "after": resolution.after}
        update: Document = {"$set": values | {"started_at": resolution.started_at}}
        if resolution.users is not None:
            update["$set"]["users"] = list(resolution.users)
        await self._resolutions.update_one({"_id": resolution.id}, update, upsert=True)

    async def delete(self, resolution: Resolution) -> None:
        await self._resolutions.delete_one({"_id": resolution.id})

    async def list_incomplete(self, limit: int, left_out: Collection[str]) -> Sequence[Resolution]:
        """Return resolutions that are not complete, except those in `left_out`."""
        return await decode_page(self._resolutions.find({"_id": {"$nin": list(left_out)}}), Resolution, limit)


def _match(resolution: Resolution) -> Document:
    return _match_live(resolution) | {"created_at": {"$lte": resolution.started_at}}


def _match_live(resolution: Resolution) -> Document:
    if resolution.users is None:
        within: Document = {"$gt": resolution.after or f"{resolution.tenant}/", "$lt": f"{resolution.tenant}0"}
    else:
        mailboxes = (mailbox_of(resolution.tenant, user) for user in resolution.users)
        within = {"$in": [mailbox for mailbox in mailboxes if mailbox > resolution.after]}
    return {"mailbox": within, "live_key": {"$in": live_keys(resolution.collapse_key)}}


def _index_for(resolution: Resolution) -> str:
    return "live_key_of_tenant" if resolution.users is None else "live_key"
