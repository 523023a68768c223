"""Reads notifications of several mailboxes by send or id."""

from collections.abc import Collection, Mapping
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.command_cursor import AsyncCommandCursor

from hub.model import Channel, DeliveryStatus, Notification, Reason, user_of
from hub.platform.connections import Database, Document
from hub.platform.tolerant_decoding import decode_page

READ_IN_INBOX: Document = {"$and": [{"$ifNull": ["$read_at", False]}, {"$not": [{"$ifNull": ["$read_on", False]}]}]}
"""An aggregation expression: the notification was read in the inbox, not by a click in an email or push message."""


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
        self, send: str, first: int, after: str | None, *, hidden: bool = False
    ) -> list[Notification]:
        """Return up to `first` notifications of a send after the id `after`, oldest first, including removed ones.

        If `hidden` is True, notifications that are not in an inbox are included."""
        condition: Document = {"send": send}
        if not hidden:
            condition["hidden"] = {"$ne": True}
        if after:
            condition["_id"] = {"$gt": after}
        return await decode_page(self._notifications.find(condition).sort("_id", ASCENDING), Notification, first)

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
        return {doc["mailbox"] async for doc in self._notifications.find(newer, {"mailbox": 1}, hint="feed")}

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
        """Count the statuses that notifications store: those of IN_APP and of the skipped channels.

        The id of a group contains `send`, `k` (channel), `v` (status), and `r` (reason). `count` is its size."""
        in_app = {"$ifNull": ["$removed_as", {"$cond": [READ_IN_INBOX, DeliveryStatus.READ, DeliveryStatus.DELIVERED]}]}
        skipped = {
            "$map": {
                "input": {"$objectToArray": {"$ifNull": ["$skipped", {}]}},
                "in": {"k": "$$this.k", "v": DeliveryStatus.SKIPPED, "r": "$$this.v"},
            }
        }
        failed = {
            "$map": {
                "input": {"$objectToArray": {"$ifNull": ["$failed", {}]}},
                "in": {"k": "$$this.k", "v": DeliveryStatus.FAILED, "r": Reason.TEMPLATE_ERROR},
            }
        }
        rows = {
            "$concatArrays": [
                {"$cond": ["$hidden", [], [{"k": Channel.IN_APP, "v": in_app, "r": "$removed_reason"}]]},
                failed,
                skipped,
            ]
        }
        key = {"send": "$send", "k": "$rows.k", "v": "$rows.v", "r": "$rows.r"}
        return await self._notifications.aggregate(
            [
                {"$match": {"send": {"$in": list(sends)}}},
                {"$project": {"send": 1, "rows": rows}},
                {"$unwind": "$rows"},
                {"$group": {"_id": key, "count": {"$sum": 1}}},
            ]
        )
