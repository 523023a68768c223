"""The READ status of an outgoing delivery requires a proof, which is a click in its message. Pure.

Earlier versions set every delivery of a notification to READ when the notification was read in the inbox. Such a
document has no `clicked_at` field. Queries return the status that the provider confirmed instead: DELIVERED for a
webhook, SENT otherwise. Each query does this, because processes of an earlier version may write such documents during
an upgrade.
"""

from collections.abc import Collection

from hub.model import Channel, Delivery, DeliveryStatus
from hub.platform.connections import Document

RECIPIENT_CONFIRMED_CHANNEL = Channel.WEBHOOK
"""The channel whose provider is the recipient's endpoint, so a successful response means DELIVERED."""

_UNPROVEN: Document = {"status": DeliveryStatus.READ, "clicked_at": {"$exists": False}}
_PROVEN: Document = {"status": DeliveryStatus.READ, "clicked_at": {"$exists": True}}

PROVEN_STATUS: Document = {
    "$cond": [
        {"$and": [{"$eq": ["$status", DeliveryStatus.READ]}, {"$eq": [{"$type": "$clicked_at"}, "missing"]}]},
        {"$cond": [{"$eq": ["$channel", RECIPIENT_CONFIRMED_CHANNEL]}, DeliveryStatus.DELIVERED, DeliveryStatus.SENT]},
        "$status",
    ]
}
"""The status of a stored delivery, as an aggregation expression."""


def proven_status(delivery: Delivery) -> DeliveryStatus:
    """Return the status of a delivery. It is READ only with a proof on the same channel."""
    if delivery.status is not DeliveryStatus.READ or delivery.clicked_at or delivery.channel is Channel.IN_APP:
        return delivery.status
    return _without_proof(delivery.channel)


def with_proven_status(stored: Document) -> Document:
    """Return a stored delivery with the status that is proven."""
    if stored.get("status") != DeliveryStatus.READ or "clicked_at" in stored:
        return stored
    return stored | {"status": _without_proof(stored.get("channel"))}


def _without_proof(channel: str | None) -> DeliveryStatus:
    return DeliveryStatus.DELIVERED if channel == RECIPIENT_CONFIRMED_CHANNEL else DeliveryStatus.SENT


def match_statuses(statuses: Collection[DeliveryStatus]) -> Document:
    """Return the match of stored deliveries with one of `statuses`, or with any status if `statuses` is empty. The
    match limits `status`, so indexes can be used."""
    if not statuses:
        return {"status": {"$in": list(DeliveryStatus)}}
    requested = set(statuses)
    if not requested & {DeliveryStatus.READ, DeliveryStatus.SENT, DeliveryStatus.DELIVERED}:
        return {"status": {"$in": list(statuses)}}
    either: list[Document] = [{"status": {"$in": sorted(requested - {DeliveryStatus.READ})}}]
    if DeliveryStatus.READ in requested:
        either.append(_PROVEN)
    if DeliveryStatus.DELIVERED in requested:
        either.append({**_UNPROVEN, "channel": RECIPIENT_CONFIRMED_CHANNEL})
    if DeliveryStatus.SENT in requested:
        either.append({**_UNPROVEN, "channel": {"$ne": RECIPIENT_CONFIRMED_CHANNEL}})
    return {"status": {"$in": sorted(requested | {DeliveryStatus.READ})}, "$or": either}
