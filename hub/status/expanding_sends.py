"""Sends whose recipients workers list. Until its last part is complete, the record contains the request.

`parts_left` is set until `recipients` is the final number. Every part that is complete changes the record, so two that
are complete at the same time conflict, and one of them is the last one.
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.errors import RateLimited
from hub.ids import new_id
from hub.model import Reason, Send, SendStatus, document
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode
from hub.status.scheduled_sends import Scheduled
from hub.status.sends import COLLECTION, PAUSE_FIELDS, PREPARING_INDEX, PROGRESS_FIELDS, STATUS_INDEX, UNSCHEDULED

RESOLVED_MAX = 10_000  # users per send for whom its collapse key is resolved while it is EXPANDING
EXPANDING = SendStatus.EXPANDING.value


class ExpandingSend(Struct, frozen=True):
    """A send that is EXPANDING, and its request."""

    send: Send
    scheduled: Scheduled


class ExpandingSends:
    def __init__(self, database: Database) -> None:
        self._sends = database[COLLECTION]

    async def get(self, id: str) -> ExpandingSend | None:
        """Return a send, or None if it is not EXPANDING or cannot be decoded."""
        doc = await self._sends.find_one({"_id": id, "status": EXPANDING})
        if doc and (send := decode(doc, Send)) and (scheduled := decode(doc["scheduled"], Scheduled)):
            return ExpandingSend(send, scheduled)
        return None

    async def count(self, tenant: str, limit: int, session: AsyncClientSession | None = None) -> int:
        """Return the number of a tenant's sends that are EXPANDING, up to `limit`."""
        match = {"tenant": tenant, "status": EXPANDING}
        return await self._sends.count_documents(match, hint=STATUS_INDEX, limit=limit, session=session)

    async def count_preparing(self, tenant: str, limit: int, session: AsyncClientSession) -> int:
        """Return the number of a tenant's sends that name no users and are PREPARING, up to `limit`."""
        match = {"tenant": tenant, "status": SendStatus.PREPARING, "audience": {"$exists": True}}
        return await self._sends.count_documents(match, hint=PREPARING_INDEX, limit=limit, session=session)

    async def parts_left(self, id: str, session: AsyncClientSession) -> int | None:
        """Return the number of parts that are not complete, read in a transaction. Return None if the send is not
        EXPANDING."""
        doc = await self._sends.find_one({"_id": id, "status": EXPANDING}, {"parts_left": 1}, session=session)
        return doc["parts_left"] if doc else None

    async def has_more(self, id: str) -> bool:
        """Return True if a send is EXPANDING or PAUSED."""
        match = {"_id": id, "status": {"$in": [EXPANDING, SendStatus.PAUSED]}}
        return await self._sends.find_one(match, {"_id": 1}) is not None

    async def list_with_key(self, tenant: str, collapse_key: str) -> list[str]:
        """Return the ids of a tenant's sends that name no users, with this collapse key, that have not reached all
        recipients."""
        match = {"tenant": tenant, "collapse_key": collapse_key, "scheduled": {"$exists": True}}
        docs = self._sends.find(match | {"audience": {"$exists": True}}, {"_id": 1}, hint="scheduled_key")
        return [doc["_id"] async for doc in docs]

    async def add_resolved(self, id: str, users: Collection[str]) -> None:
        """Record users whom a send skips, because its collapse key was resolved for them. Raise RateLimited if that are
        too many."""
        added = {"$addToSet": {"scheduled.resolved": {"$each": list(users)}}}
        has_space = {f"scheduled.resolved.{RESOLVED_MAX}": {"$exists": False}}
        match = {"_id": id, "scheduled": {"$exists": True}}
        if (await self._sends.update_one(match | has_space, added)).matched_count:
            return
        if await self._sends.find_one(match, {"_id": 1}):
            raise RateLimited("Too many users were named for a send that is being expanded. Try again later.", 60.0)

    async def mark_resolved(self, id: str, lease_end: datetime) -> bool:
        """Mark a send that is being expanded as cancelled, because its collapse key was resolved. The change is claimed
        like any cancellation, so its rounds complete it. Return False if the send is not being expanded."""
        values: Document = {"status": SendStatus.CANCELLED, "reason": Reason.RESOLVED}
        values |= {"claim": new_id(), "leased_until": lease_end}
        unset = UNSCHEDULED | dict.fromkeys((*PAUSE_FIELDS, *PROGRESS_FIELDS), "")
        match = {"_id": id, "scheduled": {"$exists": True}, "parts_left": {"$exists": True}}
        return bool((await self._sends.update_one(match, {"$set": values, "$unset": unset})).matched_count)

    async def mark_failing(self, id: str, *, failing: bool) -> None:
        """Record that the expansion of a send fails repeatedly, or that it continues."""
        update = {"$set": {"failing": True}} if failing else {"$unset": {"failing": ""}}
        await self._sends.update_one({"_id": id, "status": EXPANDING}, update)

    async def set_recipients(self, id: str, recipients: int) -> None:
        """Record the final number of recipients of a send whose expansion was stopped."""
        match = {"_id": id, "parts_left": {"$exists": True}}
        await self._sends.update_one(match, {"$set": {"recipients": recipients}, "$unset": {"parts_left": ""}})


def expanding_document(send: Send, request: str) -> Document:
    """Return the document of a send that is EXPANDING. `request` is JSON text without users."""
    return document(send) | {"scheduled": {"users": [], "request": request}}


def expanding_update(send: Send) -> UpdateOne:
    """Return the update of a send that was SCHEDULED or PREPARING. It keeps its request."""
    return UpdateOne(
        {"_id": send.id},
        {"$set": document(send), "$unset": dict.fromkeys(("due_at", "prepare_by", "prepare_for_ms"), "")},
    )


def part_complete_update(id: str) -> UpdateOne:
    """Return the update of a send whose part is complete, but not the last one."""
    return UpdateOne({"_id": id}, {"$inc": {"parts_left": -1}})


def canary_complete_update(id: str, now: datetime, until: datetime) -> UpdateOne:
    """Return the update of a send whose canary is complete. The guard looks at it from `now`, and waits for its calls
    up to `until`."""
    return UpdateOne({"_id": id}, {"$inc": {"parts_left": -1}, "$set": {"guard_due_at": now, "guard_until": until}})


def expanded_update(id: str, recipients: int, status: SendStatus) -> UpdateOne:
    """Return the update of a send whose last part is complete."""
    unset = {"parts_left": "", "failing": ""} | UNSCHEDULED
    return UpdateOne({"_id": id}, {"$set": {"status": status, "recipients": recipients}, "$unset": unset})
