"""Send records and their counts."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import first_id_at
from hub.model import (
    ERASED_SEND_FIELDS,
    Notification,
    Reason,
    Send,
    SendStatus,
)
from hub.outbox.retry_delay import LEASES
from hub.platform.connections import Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_by_id, decode_page
from hub.status.deleted_counts import DeletedCounts, status_groups
from hub.status.status_counts import Counts, Reactions, counts_by_send

COLLECTION = "sends"
STOP_REASONS: Mapping[str, Reason] = {
    SendStatus.CANCELLED: Reason.CANCELLED,
    SendStatus.RECALLED: Reason.RECALLED,
    SendStatus.PAUSED: Reason.PAUSED,
}
"""The reasons of deliveries that are not sent because of the status of their send."""
INDEXED_STATUSES = [status.value for status in SendStatus if status is not SendStatus.ACCEPTED]
GUARD_FIELDS = ("guarded", "guard_due_at", "guard_until")
PREPARING_FIELDS = ("prepare_by", "prepare_for_ms", "enrichment_error")
UNSCHEDULED = dict.fromkeys(("due_at", *PREPARING_FIELDS, "scheduled", "canary_below", *GUARD_FIELDS), "")
"""Deletes the fields that only sends with the status SCHEDULED, PREPARING, or EXPANDING have."""
TENANT_INDEX = "tenant"
AUDIENCE_INDEX = "audiences"
STATUS_INDEX = "statuses"
PREPARING_INDEX = "preparing_audiences"
RESTORED_INDEX = "restored"
RESTORED_PAUSE = "A backup was restored, and this send may have continued after the backup."
"""The reason of sends that are paused since a restore."""
PAUSE_FIELDS = ("paused_reason", "paused_by_guard", "paused_from")  # of a paused send
PROGRESS_FIELDS = ("remaining", "remaining_is_estimate", "recalled_to")
"""The fields of the progress of a change."""
CLOCK_SKEW_MAX = timedelta(hours=1)  # between two processes
USERS_SHOWN = 100  # in `Send.to`
PAUSED_MAX = 1000  # paused sends whose items stay in a digest
SMALL_SEND_MAX_RECIPIENTS = 100  # a send to more recipients keeps its content when they are erased

NAMED_USERS = {
    "recipient_ids": "recipient_ids",
    "scheduled.users": "scheduled_users",
    "scheduled.resolved": "scheduled_resolved",
    "excluded": "excluded",
    "created_by": "created_by",
}
"""The fields that contain ids of users, with their indexes."""
LEFT_OUT = ("excluded", "scheduled.resolved")  # the fields of users who do not get the send
EXPORTED_FIELDS = dict.fromkeys(("category", "status", "created_at", "send_at"), 1)

USER_INDEXES = [
    # the scheduled sends to a user, who is removed when erased
    IndexModel(
        [("tenant", ASCENDING), ("scheduled.users", ASCENDING)],
        name="scheduled_users",
        partialFilterExpression={"scheduled": {"$exists": True}},
    ),
    # the sends that skip a user because of a resolution, who is removed when erased
    IndexModel(
        [("tenant", ASCENDING), ("scheduled.resolved", ASCENDING)],
        name="scheduled_resolved",
        partialFilterExpression={"scheduled": {"$exists": True}},
    ),
    # the sends that leave out a user, who is removed when erased
    IndexModel(
        [("tenant", ASCENDING), ("excluded", ASCENDING)],
        name="excluded",
        partialFilterExpression={"excluded": {"$exists": True}},
    ),
    # the sends to a user that may have no notification when the user is erased
    IndexModel(
        [("tenant", ASCENDING), ("recipient_ids", ASCENDING)],
        name="recipient_ids",
        partialFilterExpression={"recipient_ids": {"$exists": True}},
    ),
    # the sends that a user created, who is removed when erased
    IndexModel(
        [("tenant", ASCENDING), ("created_by", ASCENDING)],
        name="created_by",
        partialFilterExpression={"created_by": {"$exists": True}},
    ),
]
"""The indexes of NAMED_USERS."""


def indexes() -> Indexes:
    return {
        COLLECTION: [
            # a tenant's sends, newest first, because ids sort by time
            IndexModel([("tenant", ASCENDING), ("_id", DESCENDING)], name=TENANT_INDEX),
            # `SendSearch`: a tenant's sends that name no users, newest first; there are few
            IndexModel(
                [("tenant", ASCENDING), ("_id", DESCENDING)],
                name=AUDIENCE_INDEX,
                partialFilterExpression={"audience": {"$exists": True}},
            ),
            # a tenant's sends in one category, newest first
            IndexModel([("tenant", ASCENDING), ("category", ASCENDING), ("_id", DESCENDING)], name="category"),
            # a tenant's sends with given statuses, newest first; few sends have another status than ACCEPTED
            IndexModel(
                [("tenant", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)],
                name=STATUS_INDEX,
                partialFilterExpression={"status": {"$in": INDEXED_STATUSES}},
            ),
            # due sends, longest overdue first
            IndexModel([("due_at", ASCENDING)], name="due", partialFilterExpression={"due_at": {"$exists": True}}),
            # the sends that must not be PREPARING for longer, by priority and tenant, longest overdue first
            IndexModel(
                [("priority", ASCENDING), ("tenant", ASCENDING), ("prepare_by", ASCENDING)],
                name="late",
                partialFilterExpression={"status": SendStatus.PREPARING},
            ),
            # the sends of a tenant that name no users and are PREPARING, which count toward the limit of expansions
            IndexModel(
                [("tenant", ASCENDING)],
                name=PREPARING_INDEX,
                partialFilterExpression={"status": SendStatus.PREPARING, "audience": {"$exists": True}},
            ),
            *USER_INDEXES,
            # the scheduled and expanding sends with a collapse key, which a resolution concerns
            IndexModel(
                [("tenant", ASCENDING), ("collapse_key", ASCENDING)],
                name="scheduled_key",
                partialFilterExpression={"scheduled": {"$exists": True}},
            ),
            # `GuardedSends.list_due`: the sends whose canary is complete, first due first
            IndexModel(
                [("status", ASCENDING), ("guard_due_at", ASCENDING)],
                name="guard_due",
                partialFilterExpression={"guard_due_at": {"$exists": True}},
            ),
            # `RestoredSends.list_paused`: the sends that are paused since a restore
            IndexModel(
                [("tenant", ASCENDING), ("_id", DESCENDING)],
                name=RESTORED_INDEX,
                partialFilterExpression={"paused_reason": RESTORED_PAUSE},
            ),
            # cancellations, recalls, and resumptions that are not complete, first due first
            IndexModel(LEASES, name="leases", partialFilterExpression={"leased_until": {"$exists": True}}),
        ]
    }


def recorded(users: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return `Send.recipient_ids` of a send that may have no notification when its recipients are erased."""
    return users if len(users) <= SMALL_SEND_MAX_RECIPIENTS else None


class Notifications(Protocol):
    """The methods of `hub.inbox.notification_lookup.Notifications` that this stage uses. `send` imports this stage, and
    must not import that class."""

    async def list_of_send(
        self, send: str, first: int, after: str | None, *, hidden: bool = False, reactions: Mapping[str, bool] | None
    ) -> tuple[list[Notification], str | None]: ...
    async def list_users(self, sends: Collection[str]) -> Mapping[str, list[str]]: ...
    async def find_recipients(self, send: str, since: str, mailboxes: Collection[str]) -> set[str]: ...
    async def list_first_users(self, sends: Collection[str], limit: int) -> Mapping[str, list[str]]: ...
    async def list_read(self, ids: Collection[str]) -> list[str]: ...
    async def count_statuses(self, sends: Collection[str]) -> AsyncIterable[Document]: ...
    async def count_reactions(self, sends: Collection[str]) -> AsyncIterable[Document]: ...


def stop_reason(status: str, reason: str | None) -> Reason | None:
    """Return the reason of deliveries that are not sent because of the status and reason of their send."""
    if status == SendStatus.CANCELLED and reason == Reason.RESOLVED:
        return Reason.RESOLVED
    return STOP_REASONS.get(status)


class Sends:
    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications
        self._deleted = DeletedCounts(database[COLLECTION])

    async def get(self, tenant: str, id: str) -> Send | None:
        """Return a send, or None if the tenant has no send with this id."""
        doc = await self._database[COLLECTION].find_one({"_id": id, "tenant": tenant})
        return decode(doc, Send) if doc else None

    async def get_many(self, tenant: str, ids: Collection[str]) -> dict[str, Send]:
        """Return the sends of a tenant with these ids, by id."""
        match = {"_id": {"$in": list(ids)}, "tenant": tenant}
        return await decode_by_id(self._database[COLLECTION].find(match, hint="_id_"), Send)

    async def find_stopped(self, ids: Collection[str]) -> dict[str, Reason]:
        """Return the ids of the sends that are cancelled, recalled, or paused, with the reason."""
        if not ids:
            return {}
        match = {"_id": {"$in": list(ids)}, "status": {"$in": list(STOP_REASONS)}}
        docs = self._database[COLLECTION].find(match, {"status": 1, "reason": 1})
        return {doc["_id"]: reason async for doc in docs if (reason := stop_reason(doc["status"], doc.get("reason")))}

    async def list_paused(self, tenants: Collection[str]) -> list[str]:
        """Return the ids of the paused sends of these tenants, at most PAUSED_MAX."""
        match = {"tenant": {"$in": list(tenants)}, "status": SendStatus.PAUSED}
        docs = self._database[COLLECTION].find(match, {"_id": 1}, hint=STATUS_INDEX).limit(PAUSED_MAX)
        return [doc["_id"] async for doc in docs]

    async def find_for_deliveries(self, ids: Collection[str]) -> tuple[dict[str, Reason], dict[str, Send | None]]:
        """Return the sends that are cancelled, recalled, or paused, with the reason, and the sends with a template. A
        send that cannot be decoded is None."""
        special: Document = {"$or": [{"status": {"$in": list(STOP_REASONS)}}, {"template": {"$exists": True}}]}
        docs = await self._database[COLLECTION].find({"_id": {"$in": list(ids)}} | special, {"content": 0}).to_list()
        stopped = {doc["_id"]: reason for doc in docs if (reason := stop_reason(doc["status"], doc.get("reason")))}
        return stopped, {doc["_id"]: decode(doc, Send) for doc in docs if "template" in doc}

    async def list_of_category(
        self, tenant: str, category: str, after: str, until: datetime, limit: int
    ) -> list[tuple[str, int]]:
        """Return the id and the number of recipients of sends in a category, oldest first: after the id `after`, and
        created before `until`."""
        match = {"tenant": tenant, "category": category, "_id": {"$gt": after, "$lt": first_id_at(until)}}
        docs = self._database[COLLECTION].find(match, {"recipients": 1}, hint="category")
        return [(doc["_id"], doc.get("recipients", 0)) async for doc in docs.sort("_id", ASCENDING).limit(limit)]

    async def record_users(self, ids: Collection[str]) -> None:
        """Record the recipients of small sends, because their notifications may be removed from now on."""
        match = {
            "_id": {"$in": list(ids)},
            "recipients": {"$lte": SMALL_SEND_MAX_RECIPIENTS},
            "recipient_ids": {"$exists": False},
            "parts_left": {"$exists": False},
        }
        sends = self._database[COLLECTION]
        while counts := {doc["_id"]: doc.get("erased") async for doc in sends.find(match, {"erased": 1})}:
            users = await self._notifications.list_users(counts)
            updates = [  # a recipient who was erased since the first query changed the count
                UpdateOne({"_id": id, "erased": erased}, {"$set": {"recipient_ids": users.get(id, [])}})
                for id, erased in counts.items()
            ]
            await sends.bulk_write(updates, ordered=False)

    async def list_recorded(self, tenant: str, user: str, limit: int, session: AsyncClientSession) -> list[str]:
        """Return the ids of up to `limit` sends that record this user."""
        docs = self._database[COLLECTION].find(
            {"tenant": tenant, "recipient_ids": user}, {"_id": 1}, hint="recipient_ids", session=session
        )
        return [doc["_id"] async for doc in docs.limit(limit)]

    async def find_recipients(self, send: Send, mailboxes: Collection[str]) -> set[str]:
        """Return those of `mailboxes` that have a notification of the send."""
        since = first_id_at((send.send_at or send.created_at) - CLOCK_SKEW_MAX)
        return await self._notifications.find_recipients(send.id, since, mailboxes)

    async def erase_recipient(self, user: str, ids: Collection[str], session: AsyncClientSession) -> None:
        """Count an erased recipient of each send, once. Delete the content of the sends whose last recipient this was.

        The count makes two transactions that erase the last two recipients conflict."""
        name = {"$literal": user}
        is_new = {"$in": [name, {"$ifNull": ["$recipient_ids", [name]]}]}
        counted = {
            "erased": {"$add": [{"$ifNull": ["$erased", 0]}, {"$cond": [is_new, 1, 0]}]},
            "recipient_ids": {
                "$cond": [{"$isArray": "$recipient_ids"}, {"$setDifference": ["$recipient_ids", [name]]}, "$$REMOVE"]
            },
        }
        is_last = {"$and": [{"$gte": ["$erased", "$recipients"]}, {"$eq": [{"$type": "$parts_left"}, "missing"]}]}
        content = {field: {"$cond": [is_last, "$$REMOVE", f"${field}"]} for field in ERASED_SEND_FIELDS}
        match = {"_id": {"$in": list(ids)}, "recipients": {"$lte": SMALL_SEND_MAX_RECIPIENTS}}
        await self._database[COLLECTION].update_many(match, [{"$set": counted}, {"$set": content}], session=session)

    async def export(self, tenant: str, user: str, limit: int) -> list[Document]:
        """Return up to `limit` sends that name a user as recipient, that leave out or skip the user, or that the user
        created, newest first."""
        found: dict[str, Document] = {}
        for field, index in NAMED_USERS.items():
            match: Document = {"tenant": tenant, field: user}
            if field.startswith("scheduled."):
                match["scheduled"] = {"$exists": True}
            docs = self._database[COLLECTION].find(match, EXPORTED_FIELDS, hint=index).limit(limit)
            async for doc in docs:
                left_out = {"left_out": True} if field in LEFT_OUT else {}
                found[doc["_id"]] = found.get(doc["_id"], doc) | left_out
        return sorted(found.values(), key=lambda doc: str(doc["_id"]), reverse=True)[:limit]

    async def erase_unreached(self, tenant: str, user: str) -> None:
        """Remove a user from the sends that leave out the user, or skip the user because of a resolution."""
        for field in LEFT_OUT:
            match: Document = {"tenant": tenant, field: user}
            if field == "scheduled.resolved":
                match["scheduled"] = {"$exists": True}
            await self._database[COLLECTION].update_many(match, {"$pull": {field: user}}, hint=NAMED_USERS[field])

    async def erase_creator(self, tenant: str, user: str, replacement: str) -> None:
        """Replace the id of a user who created sends."""
        match = {"tenant": tenant, "created_by": user}
        await self._database[COLLECTION].update_many(match, {"$set": {"created_by": replacement}}, hint="created_by")

    async def first_users(self, sends: Collection[Send]) -> dict[str, list[str]]:
        """Return the first USERS_SHOWN users that each send names, except erased ones, in at most two queries."""
        users = {send.id: list(send.recipient_ids[:USERS_SHOWN]) for send in sends if send.recipient_ids is not None}
        if others := [send.id for send in sends if send.id not in users]:
            of_request = {"status": 1, "scheduled.users": {"$slice": USERS_SHOWN}}
            waiting = {"_id": {"$in": others}, "scheduled": {"$exists": True}}
            docs = self._database[COLLECTION].find(waiting, of_request)
            users |= {doc["_id"]: list(doc["scheduled"]["users"]) async for doc in docs}
        if published := [send.id for send in sends if send.id not in users]:
            users |= await self._notifications.list_first_users(published, USERS_SHOWN)
        return users

    async def page(
        self,
        tenant: str,
        *,
        category: str | None,
        statuses: Collection[SendStatus] | None = None,
        since: datetime | None,
        until: datetime | None,
        first: int,
        after: str | None,
    ) -> list[Send]:
        """Return up to `first` sends with an id less than `after`, newest first, created since `since` and before
        `until`."""
        match: Document = {"tenant": tenant}
        if statuses is not None:
            match["status"] = {"$in": list(statuses)}
        if category is not None:
            match["category"] = category
        below = [bound for bound in (after, first_id_at(until) if until else None) if bound]
        bounds: dict[str, Any] = {}
        if below:
            bounds["$lt"] = min(below)
        if since:
            bounds["$gte"] = first_id_at(since)
        if bounds:
            match["_id"] = bounds
        rare = statuses is not None and SendStatus.ACCEPTED not in statuses
        docs = self._database[COLLECTION].find(match, hint=STATUS_INDEX if rare else None).sort("_id", DESCENDING)
        return await decode_page(docs, Send, first)

    async def notifications(
        self,
        send: Send,
        first: int,
        after: str | None,
        *,
        hidden: bool = False,
        reactions: Mapping[str, bool] | None = None,
    ) -> tuple[list[Notification], str | None]:
        """Return the notifications of the send after the id `after`, oldest first, including tombstones. With `hidden`,
        include notifications that no inbox shows. `reactions` and the second result are those of `list_of_send`."""
        return await self._notifications.list_of_send(send.id, first, after, hidden=hidden, reactions=reactions)

    async def counts(self, sends: Collection[str]) -> dict[str, Counts]:
        """Count the statuses that are stored in notifications, by send, and what was deleted, in two queries."""
        groups, deleted = await asyncio.gather(self._notifications.count_statuses(sends), self._deleted.get_many(sends))
        return await counts_by_send(groups, sends, status_groups(deleted))

    async def reactions(self, sends: Collection[str]) -> dict[str, Reactions]:
        """Count the recipients of each send who saw, read, acknowledged, or acted, in two queries."""
        docs, deleted = await asyncio.gather(self._notifications.count_reactions(sends), self._deleted.get_many(sends))
        found = {send: Counter(deleted[send].reactions if send in deleted else {}) for send in sends}
        async for doc in docs:
            found[doc["_id"]] += Counter({name: doc[name] for name in Reactions.__struct_fields__})
        return {send: Reactions(**counts) for send, counts in found.items()}
