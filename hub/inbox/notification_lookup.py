"""Reads notifications of several mailboxes by send or id."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.command_cursor import AsyncCommandCursor

from hub.model import Channel, DeliveryStatus, Notification, Reason, user_of
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode, decode_page

EXAMINED_AT_ONCE = 1000  # notifications whose statuses one query checks
EXAMINED_MAX = 10_000  # notifications that one page of `list_of_send` examines
FEED_INDEX = "feed"
SEND_INDEX = "send"
REACTIONS = {"seen": "seen_at", "read": "read_at", "acknowledged": "acknowledged_at", "acted": "acted_at"}
"""The fields that say that a recipient did something."""

READ_IN_INBOX: Document = {"$and": [{"$ifNull": ["$read_at", False]}, {"$not": [{"$ifNull": ["$read_on", False]}]}]}
"""An aggregation expression: the notification was read in the inbox, not by a click in an email or push message."""


def _map_to_rows(field: str, status: DeliveryStatus, reason: str) -> Document:
    """Return the expression of one row for each channel in `field`, which is an object by channel."""
    return {
        "$map": {
            "input": {"$objectToArray": {"$ifNull": [f"${field}", {}]}},
            "in": {"k": "$$this.k", "v": status, "r": reason},
        }
    }


IN_APP_STATUS: Document = {
    "$ifNull": ["$removed_as", {"$cond": [READ_IN_INBOX, DeliveryStatus.READ, DeliveryStatus.DELIVERED]}]
}
STORED_STATUSES: Document = {
    "$concatArrays": [
        {"$cond": ["$hidden", [], [{"k": Channel.IN_APP, "v": IN_APP_STATUS, "r": "$removed_reason"}]]},
        _map_to_rows("failed", DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR),
        _map_to_rows("skipped", DeliveryStatus.SKIPPED, "$$this.v"),
    ]
}
"""An aggregation expression: the statuses that a notification stores, those of IN_APP and of the skipped channels, as
rows of `k` (channel), `v` (status), and `r` (reason)."""


COUNTED_STATUSES: list[Document] = [
    {"$project": {"send": 1, "rows": STORED_STATUSES}},
    {"$unwind": "$rows"},
    {
        "$group": {
            "_id": {"send": "$send", "k": "$rows.k", "v": "$rows.v", "r": "$rows.r"},
            "count": {"$sum": 1},
        }
    },
]
"""Stages that count the rows of STORED_STATUSES by send, channel, status, and reason."""

COUNTED_REACTIONS: list[Document] = [
    {
        "$group": {
            "_id": "$send",
            "notifications": {"$sum": 1},
            **{name: {"$sum": {"$cond": [{"$gt": [f"${field}", None]}, 1, 0]}} for name, field in REACTIONS.items()},
        }
    }
]
"""Stages that count the notifications by send: all of them, and those with each field of REACTIONS."""


class StatusSelection(Struct, frozen=True, kw_only=True):
    """Selects notifications that store a status. `match`: conditions on the keys of the index `index`. `about`:
    conditions that are checked on the notifications themselves. `row`: those of a row of STORED_STATUSES."""

    match: Document
    index: str
    about: Document
    row: Document


class Notifications:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._notifications = database.notifications

    async def list_to_recall(self, send: str, limit: int, after: str = "") -> list[tuple[str, str]]:
        """Return the mailbox and id of a send's notifications that were not removed or have content, after the id
        `after`, ordered by id."""
        has_content: list[Document] = [{"title": {"$ne": ""}}, {"body": {"$ne": ""}}, {"data": {"$exists": True}}]
        condition = {"send": send, "_id": {"$gt": after}, "$or": [{"removed_at": {"$exists": False}}, *has_content]}
        docs = self._notifications.find(condition, {"mailbox": 1}, hint="send").sort("_id", ASCENDING).limit(limit)
        return [(doc["mailbox"], doc["_id"]) async for doc in docs]

    async def list_of_send(
        self,
        send: str,
        first: int,
        after: str | None,
        *,
        hidden: bool = False,
        reactions: Mapping[str, bool] | None = None,
    ) -> tuple[list[Notification], str | None]:
        """Return up to `first` notifications of a send after the id `after`, oldest first, including removed ones.

        If `hidden` is True, notifications that are not in an inbox are included. `reactions` selects notifications with
        (True) or without (False) a field of REACTIONS. Then, EXAMINED_MAX notifications are examined. If there are
        others, also return the id of the last one of those."""
        condition: Document = {"send": send}
        condition |= {REACTIONS[name]: {"$exists": has} for name, has in (reactions or {}).items()}
        if not hidden:
            condition["hidden"] = {"$ne": True}
        bounds = {"$gt": after} if after else {}
        reached = await self._last_examined(send, bounds) if reactions else None
        if reached:
            bounds["$lte"] = reached
        if bounds:
            condition["_id"] = bounds
        docs = self._notifications.find(condition, hint=SEND_INDEX).sort("_id", ASCENDING)
        return await decode_page(docs, Notification, first), reached

    async def _last_examined(self, send: str, bounds: Document) -> str | None:
        """Return the id of the notification EXAMINED_MAX of a send within bounds, if there is one after it. Only index
        keys are read."""
        match = {"send": send} | ({"_id": bounds} if bounds else {})
        docs = self._notifications.find(match, {"_id": 1}, hint=SEND_INDEX).sort("_id", ASCENDING)
        ids = [doc["_id"] async for doc in docs.skip(EXAMINED_MAX - 1).limit(2)]
        return ids[0] if len(ids) > 1 else None

    async def list_users(self, sends: Collection[str]) -> Mapping[str, list[str]]:
        """Return the ids of the users with a stored notification, by send."""
        users: dict[str, list[str]] = {}
        docs = self._notifications.find({"send": {"$in": list(sends)}}, {"send": 1, "mailbox": 1}, hint="send")
        async for doc in docs:
            users.setdefault(doc["send"], []).append(user_of(doc["mailbox"]))
        return users

    async def find_recipients(self, send: str, since: str, mailboxes: Collection[str]) -> set[str]:
        """Return those of `mailboxes` that have a notification of the send with an id greater than `since`.

        The index keys of all their notifications are read, and the documents of those with greater ids."""
        newer = {"mailbox": {"$in": list(mailboxes)}, "_id": {"$gt": since}, "send": send}
        return {doc["mailbox"] async for doc in self._notifications.find(newer, {"mailbox": 1}, hint=FEED_INDEX)}

    async def list_first_users(self, sends: Collection[str], limit: int) -> Mapping[str, list[str]]:
        """Return the users of the first `limit` notifications of each send, in one query."""
        lookup = {
            "from": self._notifications.name,
            "localField": "send",
            "foreignField": "send",
            "pipeline": [{"$sort": {"_id": ASCENDING}}, {"$limit": limit}, {"$project": {"mailbox": 1}}],
            "as": "found",
        }
        stages: list[Document] = [{"$documents": [{"send": id} for id in sends]}, {"$lookup": lookup}]
        docs = await self._database.aggregate(stages)
        return {doc["send"]: [user_of(one["mailbox"]) for one in doc["found"]] async for doc in docs}

    async def find_sends(self, sends: Collection[str]) -> set[str]:
        """Return the ids in `sends` of which a notification is stored."""
        return set(await self._notifications.distinct("send", {"send": {"$in": list(sends)}}))

    async def list_read(self, ids: Collection[str]) -> list[str]:
        """Return the ids of the notifications in `ids` that were read."""
        docs = self._notifications.find({"_id": {"$in": list(ids)}, "read_at": {"$exists": True}}, {"_id": 1})
        return [doc["_id"] async for doc in docs]

    async def count_statuses(self, sends: Collection[str]) -> AsyncCommandCursor[dict[str, Any]]:
        """Count the statuses that notifications store (STORED_STATUSES).

        The id of a group contains `send`, `k`, `v`, and `r`. `count` is its size."""
        return await self._notifications.aggregate([{"$match": {"send": {"$in": list(sends)}}}, *COUNTED_STATUSES])

    async def count_reactions(self, sends: Collection[str]) -> AsyncCommandCursor[dict[str, Any]]:
        """Count the notifications of each send (COUNTED_REACTIONS)."""
        stages: list[Document] = [{"$match": {"send": {"$in": list(sends)}}}, *COUNTED_REACTIONS]
        return await self._notifications.aggregate(stages, hint=SEND_INDEX)

    async def list_with_status(
        self, selection: StatusSelection, limit: int, examine_max: int
    ) -> tuple[list[Notification], str | None]:
        """Return up to `limit` notifications that store a selected status, newest first, among the newest
        `examine_max` ones that match. Also return the id of the oldest of those if there may be others."""
        found: list[Notification] = []
        examined, before = 0, None
        while examined < examine_max:
            size = examine_max - examined if examined else min(limit, examine_max)  # the first ones usually suffice
            ids = await self._list_ids(selection, before, size)
            for start in range(0, len(ids), EXAMINED_AT_ONCE):
                part = ids[start : start + EXAMINED_AT_ONCE]
                found += await self._list_selected(selection, part, limit - len(found))
                if len(found) == limit:
                    return found, None
            if len(ids) < size:
                return found, None
            examined, before = examined + size, ids[-1]
        return found, before

    async def _list_selected(self, selection: StatusSelection, ids: Sequence[str], limit: int) -> list[Notification]:
        """Return up to `limit` notifications of `ids` that store a selected status, newest first."""
        stages: list[Document] = [
            {"$match": {"_id": {"$in": ids}} | selection.about},
            {"$sort": {"_id": DESCENDING}},
            {"$addFields": {"rows": STORED_STATUSES}},
            {"$match": {"rows": {"$elemMatch": selection.row}}},
            {"$limit": limit},
            {"$unset": "rows"},
        ]
        docs = await (await self._notifications.aggregate(stages, hint="_id_")).to_list()
        return [n for doc in docs if (n := decode(doc, Notification))]

    async def _list_ids(self, selection: StatusSelection, before: str | None, limit: int) -> list[str]:
        """Return the newest `limit` ids that match, newest first.

        The index SEND_INDEX sorts them. FEED_INDEX does not: the keys of all notifications of the mailbox are read, but
        no documents. An index by mailbox and id would cost a write for each notification."""
        match = selection.match if before is None else {"$and": [selection.match, {"_id": {"$lt": before}}]}
        docs = self._notifications.find(match, {"_id": 1}, hint=selection.index)
        return [doc["_id"] async for doc in docs.sort("_id", DESCENDING).limit(limit)]

    async def count_with_status(self, selection: StatusSelection, limit: int) -> int:
        """Count the selected statuses that notifications store, up to `limit`."""
        stages: list[Document] = [
            {"$match": {"$and": [selection.match, selection.about]}},
            {"$project": {"rows": STORED_STATUSES}},
            {"$unwind": "$rows"},
            {"$match": {f"rows.{name}": condition for name, condition in selection.row.items()}},
            {"$limit": limit},
            {"$count": "count"},
        ]
        docs = await (await self._notifications.aggregate(stages, hint=selection.index)).to_list()
        return int(docs[0]["count"]) if docs else 0
