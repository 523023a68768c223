"""Queries of deliveries: the match, the index, the order, and the cursors. Pure.

Every query uses an index: `_id_` for given ids, `send`, `mailbox`, `restored` (deliveries that are held since a
restore), `failed` (FAILED and RETRYING deliveries by time of failure), or otherwise `status`. Conditions that are not
in the index are checked on the documents that it finds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from pymongo import DESCENDING

from hub.ids import first_id_at
from hub.model import Channel, Delivery, DeliveryStatus, Reason
from hub.outbox.restored_jobs import HELD_JOBS
from hub.outbox.states import REPLAYABLE, WITHOUT_ADDRESS
from hub.platform.connections import Document

UNQUEUED: Document = {"enqueue_count": {"$exists": False}}
BY_ID = [("_id", DESCENDING)]
BY_FAILURE = [("updated_at", DESCENDING), ("_id", DESCENDING)]
LAST_ERROR: Document = {"$let": {"vars": {"last": {"$last": "$attempts"}}, "in": {"$ifNull": ["$$last.error", ""]}}}
"""An aggregation expression: the error of the last attempt."""


class DeliveryQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A selection of a tenant's deliveries. Without conditions, all are selected. `providers` are providers that were
    called. `error` is the error of the last attempt, or its beginning. `failed_since` (inclusive) and `failed_until`
    (exclusive) limit the time of the last failure of FAILED and RETRYING deliveries. `include_decided`: also those that
    only notifications store (`decided_deliveries.py`)."""

    channels: tuple[Channel, ...] = ()
    statuses: tuple[DeliveryStatus, ...] = ()
    reasons: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    error: str | None = None
    mailbox: str | None = None
    category: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed_since: datetime | None = None
    failed_until: datetime | None = None
    send: str | None = None
    ids: tuple[str, ...] | None = None
    include_decided: bool = False

    @property
    def by_failure(self) -> bool:
        """Return True if the query limits the time of failure."""
        return self.failed_since is not None or self.failed_until is not None

    @property
    def is_restored(self) -> bool:
        """Return True if the query selects only deliveries that are held since a restore."""
        return self.reasons == (Reason.RESTORED,) and not self.by_failure


def match_of(tenant: str, query: DeliveryQuery) -> Document:
    match: Document = {"tenant": tenant, "status": {"$in": list(query.statuses or DeliveryStatus)}}
    if query.by_failure:
        match = {"tenant": tenant, "status": {"$in": replayable_among(query.statuses or REPLAYABLE)}}
        failed: Document = {}
        if query.failed_since is not None:
            failed["$gte"] = query.failed_since
        if query.failed_until is not None:
            failed["$lt"] = query.failed_until
        match["updated_at"] = failed
    for name, values in (
        ("channel", query.channels),
        ("reason", query.reasons),
        ("attempts.provider", query.providers),
    ):
        if values:
            match[name] = {"$in": list(values)}
    for name, value in (("mailbox", query.mailbox), ("category", query.category), ("send", query.send)):
        if value is not None:
            match[name] = value
    if query.error:
        match["$expr"] = _starts_with(LAST_ERROR, query.error)
    bounds: Document = {}
    if query.ids is not None:
        bounds["$in"] = list(query.ids)
    if query.since is not None:
        bounds["$gte"] = first_id_at(query.since)
    if query.until is not None:
        bounds["$lt"] = first_id_at(query.until)
    if bounds:
        match["_id"] = bounds
    return match


def _starts_with(expression: Document, text: str) -> Document:
    """Return the expression that is true if the text of an expression starts with `text`."""
    return {"$eq": [{"$indexOfBytes": [expression, {"$literal": text}]}, 0]}


def can_match(query: DeliveryQuery, *, failed: bool = False) -> bool:
    """Return False if no delivery can match. With `failed`, only FAILED and RETRYING deliveries can match, and those
    that are held since a restore if the query names that."""
    if failed and query.is_restored:
        return not query.statuses or DeliveryStatus.HELD in query.statuses
    return not (failed or query.by_failure) or not query.statuses or bool(replayable_among(query.statuses))


def failed_match_of(tenant: str, query: DeliveryQuery) -> Document:
    """Return the match of failed deliveries with any reason. Deliveries on a lane are excluded: they are sent anyway.
    A failed IN_APP step is excluded: its notification has no text to show. Deliveries that are held since a restore
    match if the query names their ids or reason."""
    if query.is_restored:
        return match_of(tenant, query) | HELD_JOBS
    named = query.statuses or (REPLAYABLE if query.ids is not None else [DeliveryStatus.FAILED])
    match = match_of(tenant, query) | {"status": {"$in": replayable_among(named)}} | UNQUEUED
    if query.ids is not None and not query.statuses:
        match["$or"] = [{"status": match.pop("status")}, HELD_JOBS]
    return match | {"channel": match.get("channel", {}) | {"$ne": Channel.IN_APP}}


def replay_match_of(tenant: str, query: DeliveryQuery) -> Document:
    """Return the match of the deliveries that a replay would send again."""
    match = failed_match_of(tenant, query)
    if query.ids is None and not query.reasons:
        match["reason"] = {"$nin": list(WITHOUT_ADDRESS)}
    return match


def index_of(query: DeliveryQuery, *, failed: bool = False) -> str:
    """Return the name of the index for a match. With `failed`, the match is one of failed deliveries."""
    if query.ids is not None:
        return "_id_"
    if query.mailbox is not None:
        return "mailbox"
    if query.send is not None:
        return "send"
    if query.is_restored:
        return "restored"
    return "failed" if failed or query.by_failure else "status"


def order_of(query: DeliveryQuery) -> list[tuple[str, int]]:
    """Return the order, newest first: by time of failure if the index `failed` is used, otherwise by creation."""
    return BY_FAILURE if index_of(query) == "failed" else BY_ID


def cursor_of(query: DeliveryQuery, delivery: Delivery) -> str:
    """Return the cursor of a delivery in the order of the query."""
    if order_of(query) is BY_ID:
        return delivery.id
    return f"{round(delivery.updated_at.timestamp() * 1000)}~{delivery.id}"


def match_after_cursor(query: DeliveryQuery, cursor: str) -> Document | None:
    """Return the match of deliveries after a cursor, or None if the cursor belongs to another order."""
    if order_of(query) is BY_ID:
        return {"_id": {"$lt": cursor}}
    at_ms, _, id = cursor.partition("~")
    if not (id and at_ms.isascii() and at_ms.isdigit() and len(at_ms) <= len("9999999999999")):
        return None
    at = datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    return {"updated_at": {"$lte": at}, "$or": [{"updated_at": {"$lt": at}}, {"_id": {"$lt": id}}]}


def replayable_among(statuses: Sequence[DeliveryStatus]) -> list[DeliveryStatus]:
    """Return those of the statuses that a replay includes: FAILED and RETRYING."""
    return [status for status in REPLAYABLE if status in statuses]
