"""Groups failed deliveries by what failed: the channel, the provider, the reason, and the error.

Errors that differ only in ids, such as those of a request or a message, are one error.
"""

import re
from datetime import datetime
from typing import Any

import pymongo
from msgspec import Struct
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.errors import TooLarge
from hub.model import Channel, DeliveryStatus
from hub.platform.connections import Database, Document
from hub.status.deliveries import COLLECTION, COUNT_MAX, COUNT_S, NO_REASON
from hub.status.delivery_query import BY_FAILURE, BY_ID, DeliveryQuery, can_match, index_of, match_of, replayable_among

GROUPS_MAX = 100
ID_IN_ERROR = re.compile(r"\b(?=[\w-]*\d)[\w-]{8,}")
"""A word of at least 8 characters with a digit. Response codes and ports are shorter."""


class FailureGroup(Struct, frozen=True):
    """Failed deliveries with the same channel, provider, reason, and error. `error`: of the last attempt, with ids
    replaced by `*`. `example_id`: the id of the newest one, which failed at `last_at`."""

    channel: Channel
    provider: str | None
    reason: str
    error: str | None
    count: int
    example_id: str
    last_at: datetime


class FailureGroups:
    def __init__(self, database: Database) -> None:
        self._deliveries = database[COLLECTION]

    async def list(self, tenant: str, query: DeliveryQuery) -> list[FailureGroup]:
        """Return the groups of the newest COUNT_MAX deliveries that match, largest first, at most GROUPS_MAX. Without
        statuses in the query, they are FAILED. Raise TooLarge if reading them takes longer than COUNT_S."""
        statuses = replayable_among(query.statuses or [DeliveryStatus.FAILED])
        if not statuses or not can_match(query):
            return []
        index = index_of(query, failed=True)
        last = {"$last": "$attempts"}
        stages: list[Document] = [
            {"$match": match_of(tenant, query) | {"status": {"$in": statuses}}},
            {"$sort": dict(BY_FAILURE if index == "failed" else BY_ID)},
            {"$limit": COUNT_MAX},
            {"$project": {"channel": 1, "reason": 1, "updated_at": 1, "last": last}},
            {
                "$group": {
                    "_id": {"c": "$channel", "p": "$last.provider", "r": "$reason", "e": "$last.error"},
                    "count": {"$sum": 1},
                    "example": {"$first": "$_id"},
                    "last_at": {"$max": "$updated_at"},
                }
            },
        ]
        try:
            with pymongo.timeout(COUNT_S):
                docs = await (await self._deliveries.aggregate(stages, hint=index)).to_list()
        except PyMongoError as error:
            if error.timeout:
                raise TooLarge(
                    f"The deliveries cannot be grouped within {COUNT_S:g} s, because few of many match. Narrow the "
                    "filter with `failedSince`, `userId`, or `sendId`."
                ) from None
            raise
        groups: dict[tuple[Any, ...], FailureGroup] = {}
        for doc in docs:
            if group := _group_of(doc):
                key = group.channel, group.provider, group.reason, group.error
                groups[key] = _merged(groups[key], group) if key in groups else group
        return sorted(groups.values(), key=lambda group: (-group.count, group.example_id))[:GROUPS_MAX]


def without_ids(error: str) -> str:
    """Return an error with ids replaced by `*`."""
    return ID_IN_ERROR.sub("*", error)


def _group_of(doc: Document) -> FailureGroup | None:
    """Return a group, or None if another version of the hub stored an unknown channel."""
    key = doc["_id"]
    if key.get("c") not in Channel.__members__:
        return None
    error = key.get("e")
    return FailureGroup(
        channel=Channel(key["c"]),
        provider=key.get("p"),
        reason=key.get("r") or NO_REASON,
        error=without_ids(error) if error else None,
        count=doc["count"],
        example_id=doc["example"],
        last_at=doc["last_at"],
    )


def _merged(one: FailureGroup, other: FailureGroup) -> FailureGroup:
    newest = max(one, other, key=lambda group: group.last_at)
    return replace(newest, count=one.count + other.count)
