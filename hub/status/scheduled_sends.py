"""Sends that are scheduled for later. Until then, the record of the send contains its request and its users.

`due_at` is the time when the scheduler publishes the send. A send that is paused has none. Publishing, pausing,
canceling, and erasing a user each change the record, so only one of two concurrent changes is applied.
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from pymongo import ASCENDING, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.model import ERASED_SEND_FIELDS, Reason, Send, SendStatus, document
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode
from hub.status.sends import COLLECTION, PAUSE_FIELDS, UNSCHEDULED

UNPUBLISHED = [SendStatus.SCHEDULED, SendStatus.PAUSED]
"""The statuses of sends with the field `scheduled`."""


class Scheduled(Struct, frozen=True):
    """The users of a scheduled send, and the JSON text of its request without them. `resolved`: the users for whom the
    collapse key was resolved, and who are skipped."""

    users: tuple[str, ...]
    request: str
    resolved: tuple[str, ...] = ()


class ScheduledSend(Struct, frozen=True, rename={"id": "_id"}):
    id: str
    tenant: str
    scheduled: Scheduled
    excluded: tuple[str, ...] = ()
    expires_at: datetime | None = None


def scheduled_document(send: Send, users: Collection[str], request: str) -> Document:
    """Return the document of a scheduled send."""
    return document(send) | {"due_at": send.send_at, "scheduled": {"users": list(users), "request": request}}


def published_update(send: Send) -> UpdateOne:
    """Return the update of a scheduled send that is published. It keeps the creator, whom the request does not name."""
    return UpdateOne({"_id": send.id}, {"$set": document(send), "$unset": UNSCHEDULED})


class ScheduledSends:
    def __init__(self, database: Database) -> None:
        self._sends = database[COLLECTION]

    async def list_due(self, now: datetime, limit: int) -> tuple[list[ScheduledSend], list[str]]:
        """Return due sends, longest overdue first, and the ids of those that this version cannot decode."""
        found = self._sends.find({"due_at": {"$lte": now}}, hint="due").sort("due_at", ASCENDING)
        docs = await found.limit(limit).to_list()
        due = [send for doc in docs if (send := decode(doc, ScheduledSend))]
        decoded = {send.id for send in due}
        return due, [doc["_id"] for doc in docs if doc["_id"] not in decoded]

    async def is_unchanged(self, send: ScheduledSend, session: AsyncClientSession) -> bool:
        """Return True if a send is still scheduled for the same users, read in the transaction that publishes it."""
        match = {"_id": send.id, "status": SendStatus.SCHEDULED}
        doc = await self._sends.find_one(match, {"scheduled": 1}, session=session)
        if doc is None:
            return False
        users, resolved = doc["scheduled"]["users"], doc["scheduled"].get("resolved", ())
        return (tuple(users), tuple(resolved)) == (send.scheduled.users, send.scheduled.resolved)

    async def end(self, id: str, status: SendStatus, reason: str | None = None) -> None:
        """Set the final status of a send that is not published."""
        await self._sends.update_one(*_end({"_id": id, "due_at": {"$exists": True}}, status, reason))

    async def resolve(self, tenant: str, collapse_key: str, users: Collection[str] | None) -> None:
        """Record that the scheduled sends of a tenant with this collapse key skip these users. Without `users`, cancel
        the sends. A paused expansion is not changed."""
        match: Document = {"tenant": tenant, "collapse_key": collapse_key, "scheduled": {"$exists": True}}
        match["parts_left"] = {"$exists": False}
        if users is None:
            await self._sends.update_many(*_end(match, SendStatus.CANCELLED, Reason.RESOLVED), hint="scheduled_key")
            return
        named = {"$setIntersection": ["$scheduled.users", {"$literal": list(users)}]}
        resolved = {"$setUnion": [{"$ifNull": ["$scheduled.resolved", []]}, named]}
        await self._sends.update_many(
            match | {"status": {"$in": UNPUBLISHED}, "scheduled.users": {"$in": list(users)}},
            [{"$set": {"scheduled.resolved": resolved}}],
            hint="scheduled_key",
        )

    async def postpone(self, ids: Collection[str], until: datetime) -> None:
        """Make sends that could not be published due again at `until`."""
        match = {"_id": {"$in": list(ids)}, "due_at": {"$lt": until}}
        await self._sends.update_many(match, {"$set": {"due_at": until}})

    async def erase_user(self, tenant: str, user: str) -> None:
        """Remove a user from scheduled sends. A send without users is cancelled."""
        match = {"tenant": tenant, "scheduled.users": user}
        docs = self._sends.find(match, {"_id": 1}, hint="scheduled_users")
        if not (ids := [doc["_id"] async for doc in docs]):
            return
        removal: Document = {
            "$pull": {"scheduled.users": user, "scheduled.resolved": user, "recipient_ids": user},
            "$inc": {"recipients": -1},
        }
        await self._sends.update_many({"_id": {"$in": ids}, **match}, removal)
        empty, update = _end({"_id": {"$in": ids}, "scheduled.users": {"$size": 0}}, SendStatus.CANCELLED)
        update["$unset"] |= dict.fromkeys(ERASED_SEND_FIELDS, "")
        await self._sends.update_many(empty, update)


def _end(match: Document, status: SendStatus, reason: str | None = None) -> tuple[Document, Document]:
    """Return the match and the update that end scheduled sends."""
    values = {"status": status} | ({"reason": reason} if reason else {})
    unset = UNSCHEDULED | dict.fromkeys(PAUSE_FIELDS, "")
    return match | {"status": {"$in": UNPUBLISHED}, "scheduled": {"$exists": True}}, {"$set": values, "$unset": unset}
