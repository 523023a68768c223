"""Sends that wait: SCHEDULED for later, or PREPARING while they are enriched. Until they are published, the record of
the send contains its request and its users.

`due_at` is the time when the scheduler publishes a scheduled send. `prepare_by` is the time when a send stops waiting
for its enrichment, which is `prepare_for_ms` after the wait began. A send that is paused has neither time. Publishing,
pausing, canceling, and erasing a user each change the record, so only one of two concurrent changes is applied.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from pymongo import ASCENDING, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import id_time
from hub.model import ERASED_SEND_FIELDS, Priority, Reason, Send, SendStatus, document
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode
from hub.status.sends import COLLECTION, PAUSE_FIELDS, UNSCHEDULED

PREPARING_MS = 3_600_000  # of a send whose record does not contain its own time
LATE_PER_TENANT = 10  # late sends of one priority per batch
UNPUBLISHED = [SendStatus.SCHEDULED, SendStatus.PREPARING, SendStatus.PAUSED]
"""The statuses of sends with the field `scheduled`."""


class Scheduled(Struct, frozen=True):
    """The users of a scheduled send, and the JSON text of its request without them. `resolved`: the users for whom the
    collapse key was resolved, and who are skipped."""

    users: tuple[str, ...]
    request: str
    resolved: tuple[str, ...] = ()


class ScheduledSend(Struct, frozen=True, rename={"id": "_id"}):
    """A send that is SCHEDULED or PREPARING."""

    id: str
    tenant: str
    status: SendStatus
    scheduled: Scheduled
    excluded: tuple[str, ...] = ()
    expires_at: datetime | None = None
    send_at: datetime | None = None
    priority: Priority | None = None
    prepare_by: datetime | None = None

    @property
    def accepted_at(self) -> datetime:
        """The time at which an earlier send would have been published without a delay."""
        return self.send_at or id_time(self.id)


def scheduled_document(send: Send, users: Collection[str], request: str) -> Document:
    """Return the document of a scheduled send."""
    return document(send) | {"due_at": send.send_at, "scheduled": {"users": list(users), "request": request}}


def preparing_fields(now: datetime, longest: timedelta, expires_at: datetime | None) -> Document:
    """Return the fields that limit the time in which a send is PREPARING."""
    until = now + longest
    return {
        "prepare_for_ms": int(longest.total_seconds() * 1000),
        "prepare_by": min(until, expires_at) if expires_at else until,
    }


def _late(now: datetime, priority: Priority | Document) -> Document:
    """Return the filter of the sends of a priority that must not be PREPARING any longer."""
    return {"status": SendStatus.PREPARING, "priority": priority, "prepare_by": {"$not": {"$gt": now}}}


def prepare_by_from(now: datetime) -> Document:
    """Return the expression for the end of a wait that begins again now."""
    return {"$min": [{"$add": [now, {"$ifNull": ["$prepare_for_ms", PREPARING_MS]}]}, "$expires_at"]}


def preparing_document(send: Send, users: Collection[str], request: str, wait: Document) -> Document:
    """Return the document of a send that is PREPARING. `wait`: the `preparing_fields`."""
    return document(send) | wait | {"scheduled": {"users": list(users), "request": request}}


def preparing_update(send: Send, wait: Document) -> UpdateOne:
    """Return the update of a scheduled send that is due and becomes PREPARING. It keeps its request. `wait`: the
    `preparing_fields`."""
    values = {"status": send.status, "priority": send.priority} | wait
    return UpdateOne({"_id": send.id}, {"$set": values, "$unset": {"due_at": ""}})


def published_update(send: Send) -> UpdateOne:
    """Return the update of a waiting send that is published. It keeps the creator, whom the request does not name."""
    return UpdateOne({"_id": send.id}, {"$set": document(send), "$unset": UNSCHEDULED})


class ScheduledSends:
    def __init__(self, database: Database) -> None:
        self._sends = database[COLLECTION]
        self._last_late: dict[Priority, str] = {}

    async def list_due(self, now: datetime, limit: int) -> tuple[list[ScheduledSend], list[str]]:
        """Return due sends, longest overdue first, and the ids of those that this version cannot decode."""
        found = self._sends.find({"due_at": {"$lte": now}}, hint="due").sort("due_at", ASCENDING)
        return _decoded(await found.limit(limit).to_list())

    async def has_late(self, now: datetime, priorities: Sequence[Priority]) -> bool:
        """Return True if `list_late` would find a send."""
        match = _late(now, {"$in": list(priorities)})
        return await self._sends.find_one(match, {"_id": 1}, hint="late") is not None

    async def list_late(
        self, now: datetime, priorities: Sequence[Priority], limit: int
    ) -> tuple[list[ScheduledSend], list[str]]:
        """Return sends that must not be PREPARING any longer, and those without `prepare_by`, as `list_due` does.

        Sends of the first priority come first. Of one tenant and priority, there are at most LATE_PER_TENANT, and the
        tenants take turns."""
        docs: list[Document] = []
        for priority in priorities:
            docs += await self._late_of(priority, now, limit - len(docs))
            if len(docs) >= limit:
                break
        return _decoded(docs)

    async def _late_of(self, priority: Priority, now: datetime, limit: int) -> list[Document]:
        """Return late sends of a priority. The tenants after the last one of the previous call are first."""
        match = _late(now, priority)
        last, docs = self._last_late.pop(priority, ""), list[Document]()
        after, before = last, Document()
        while len(docs) < limit:
            found = self._sends.find(match | {"tenant": {"$gt": after, **before}}, hint="late")
            count = min(LATE_PER_TENANT, limit - len(docs))
            page = await found.sort([("tenant", ASCENDING), ("prepare_by", ASCENDING)]).limit(count).to_list()
            docs += page
            if page:
                after = self._last_late[priority] = page[-1]["tenant"]
            elif before or not last:
                break
            else:
                after, before = "", {"$lte": last}
        return docs

    async def find_preparing(self, id: str) -> ScheduledSend | None:
        """Return a send, or None if it is not PREPARING."""
        doc = await self._sends.find_one({"_id": id, "status": SendStatus.PREPARING})
        return decode(doc, ScheduledSend) if doc else None

    async def is_stopped(self, id: str) -> bool:
        """Return True if a send may be PREPARING again: it is paused, or was resumed since."""
        match: Document = {"_id": id, "status": {"$in": [SendStatus.PAUSED, SendStatus.PREPARING]}}
        match |= {"scheduled": {"$exists": True}, "parts_left": {"$exists": False}}
        return await self._sends.find_one(match, {"_id": 1}) is not None

    async def restart(self, send: ScheduledSend, now: datetime) -> None:
        """Limit the time of a send that an older version has resumed."""
        match = {"_id": send.id, "status": SendStatus.PREPARING, "prepare_by": None}
        await self._sends.update_one(match, [{"$set": {"prepare_by": prepare_by_from(now)}}])

    async def is_unchanged(self, send: ScheduledSend, session: AsyncClientSession) -> bool:
        """Return True if a send still waits for the same users, read in the transaction that changes its status."""
        match = {"_id": send.id, "status": send.status}
        doc = await self._sends.find_one(match, {"scheduled": 1}, session=session)
        if doc is None:
            return False
        users, resolved = doc["scheduled"]["users"], doc["scheduled"].get("resolved", ())
        return (tuple(users), tuple(resolved)) == (send.scheduled.users, send.scheduled.resolved)

    async def end(self, send: ScheduledSend, status: SendStatus, reason: str | None = None) -> bool:
        """Set the final status of a send that is not published. Return False if its status has changed."""
        ended = await self._sends.update_one(*_end({"_id": send.id, "status": send.status}, status, reason))
        return bool(ended.matched_count)

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

    async def record_failed_call(self, id: str, error: str) -> None:
        """Record why the last call for a send that is PREPARING failed."""
        match = {"_id": id, "status": SendStatus.PREPARING}
        await self._sends.update_one(match, {"$set": {"enrichment_error": error}})

    async def postpone(self, ids: Collection[str], until: datetime, field: str = "due_at") -> None:
        """Make sends that could not be published due again at `until`."""
        status = SendStatus.SCHEDULED if field == "due_at" else SendStatus.PREPARING
        match = {"_id": {"$in": list(ids)}, "status": status, field: {"$not": {"$gte": until}}}
        await self._sends.update_many(match, {"$set": {field: until}})

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


def _decoded(docs: Sequence[Document]) -> tuple[list[ScheduledSend], list[str]]:
    """Return the sends, and the ids of those that this version cannot decode."""
    sends = [send for doc in docs if (send := decode(doc, ScheduledSend))]
    decoded = {send.id for send in sends}
    return sends, [doc["_id"] for doc in docs if doc["_id"] not in decoded]


def _end(match: Document, status: SendStatus, reason: str | None = None) -> tuple[Document, Document]:
    """Return the match and the update that end scheduled sends."""
    values = {"status": status} | ({"reason": reason} if reason else {})
    unset = UNSCHEDULED | dict.fromkeys(PAUSE_FIELDS, "")
    return {"status": {"$in": UNPUBLISHED}, "scheduled": {"$exists": True}} | match, {"$set": values, "$unset": unset}
