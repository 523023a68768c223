"""Pages of all deliveries of a user or a send: those in the collection `deliveries`, and those that only notifications
store, because they never were to leave the hub (`virtual_deliveries.py`).

Both are sorted by id, newest first. The id of a delivery begins with that of its notification, so the deliveries of a
notification follow each other, and the id of a delivery is a cursor for both.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from hub.ids import first_id_at
from hub.inbox.notification_lookup import FEED_INDEX, SEND_INDEX, Notifications, StatusSelection
from hub.model import Delivery, DeliveryStatus
from hub.status.deliveries import COUNT_MAX, COUNT_S, Deliveries
from hub.status.delivery_query import DeliveryQuery
from hub.status.virtual_deliveries import TEMPLATE_PROVIDER, virtual_deliveries

EXAMINED_MAX = 10_000  # notifications for one page


class DecidedDeliveries:
    """Reads deliveries of queries with a mailbox or a send."""

    def __init__(self, deliveries: Deliveries, notifications: Notifications) -> None:
        self._deliveries = deliveries
        self._notifications = notifications

    async def page(
        self, tenant: str, query: DeliveryQuery, first: int, after: str | None
    ) -> tuple[list[Delivery], str | None]:
        """Return up to `first` deliveries after the cursor, newest first. Raise ValueError if the cursor belongs to a
        query with another order.

        If EXAMINED_MAX notifications were examined, also return the cursor behind the oldest of them. There may be more
        deliveries after it, and the page may contain fewer than `first`."""
        stored, (virtual, reached) = await asyncio.gather(
            self._deliveries.page(tenant, query, first, after), self._virtual(tenant, query, first, after)
        )
        found = {delivery.id: delivery for delivery in (*stored, *virtual)}  # a step in the inbox may just have moved
        ids = sorted((id for id in found if reached is None or id > reached), reverse=True)
        return [found[id] for id in ids[:first]], reached

    async def count(self, tenant: str, query: DeliveryQuery) -> int | None:
        """Return the number of deliveries, or None as `Deliveries.count` does."""
        stored = await self._deliveries.count(tenant, query)
        if stored is None:
            return None
        try:
            with pymongo.timeout(COUNT_S):
                selection = _selection_of(tenant, query, None)
                virtual = await self._notifications.count_with_status(selection, COUNT_MAX + 1) if selection else 0
        except PyMongoError as error:
            if error.timeout:
                return None
            raise
        return stored + virtual if stored + virtual <= COUNT_MAX else None

    async def _virtual(
        self, tenant: str, query: DeliveryQuery, first: int, after: str | None
    ) -> tuple[list[Delivery], str | None]:
        selection = _selection_of(tenant, query, after)
        if selection is None:
            return [], None
        # each of the notifications has a delivery, except that of the cursor, whose deliveries may be before it
        notifications, reached = await self._notifications.list_with_status(selection, first + 1, EXAMINED_MAX)
        return [
            delivery
            for notification in notifications
            for delivery in virtual_deliveries(notification)
            if _matches(query, delivery) and (after is None or delivery.id < after)
        ], reached


def _statuses_of(query: DeliveryQuery) -> Sequence[DeliveryStatus]:
    """Return the statuses that the query selects among those that notifications store. A notification stores an attempt
    and a time of failure only if a text could not be rendered."""
    statuses = query.statuses or tuple(DeliveryStatus)
    if query.providers and TEMPLATE_PROVIDER not in query.providers:
        return ()
    if query.providers or query.by_failure:
        return [status for status in statuses if status is DeliveryStatus.FAILED]
    return statuses


def _selection_of(tenant: str, query: DeliveryQuery, after: str | None) -> StatusSelection | None:
    """Return the selection of the notifications, or None if none can match."""
    statuses = _statuses_of(query)
    if not statuses:
        return None
    bounds: dict[str, Any] = {}
    if query.since is not None:
        bounds["$gte"] = first_id_at(query.since)
    before = [bound for bound in (after, first_id_at(query.until) if query.until else None) if bound]
    if before:
        bounds["$lt"] = min(before)
    match: dict[str, Any] = {"_id": bounds} if bounds else {}
    about: dict[str, Any] = {"mailbox": {"$gte": f"{tenant}/", "$lt": f"{tenant}0"}}  # `0` follows the slash
    index = SEND_INDEX if query.mailbox is None else FEED_INDEX
    match |= {"send": query.send} if query.mailbox is None else {"mailbox": query.mailbox}
    if query.mailbox is not None and query.send is not None:
        about["send"] = query.send
    if query.category is not None:
        about["category"] = query.category
    failed = {"$gte": query.failed_since, "$lt": query.failed_until}
    if query.by_failure:
        about["created_at"] = {operator: at for operator, at in failed.items() if at is not None}
    row: dict[str, Any] = {"v": {"$in": list(statuses)}}
    if query.channels:
        row["k"] = {"$in": list(query.channels)}
    if query.reasons:
        row["r"] = {"$in": list(query.reasons)}
    return StatusSelection(match=match, index=index, about=about, row=row)


def _matches(query: DeliveryQuery, delivery: Delivery) -> bool:
    """Return True for a delivery of a selected notification that the query selects."""
    return (
        delivery.status in _statuses_of(query)
        and (not query.channels or delivery.channel in query.channels)
        and (not query.reasons or delivery.reason in query.reasons)
    )
