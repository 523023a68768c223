"""Receipts, and the calls of tenants' endpoints that they cause: written in the transaction that they tell of."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from hub.model import Delivery, DeliveryStatus, Notification, Reason, Tenant
from hub.platform.connections import Document
from hub.status import receipts
from hub.webhooks import webhook_calls

Told = tuple[Document, Notification | Delivery]
"""A receipt, and what it is about."""
TOLD = frozenset(
    {
        *(DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.SKIPPED),
        *(DeliveryStatus.FAILED, DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED),
    }
)
"""States of deliveries that senders get a receipt of."""
Tenants = Callable[[Collection[str]], Awaitable[Mapping[str, Tenant]]]


def told(delivery: Delivery, became: DeliveryStatus, reason: Reason | None, now: datetime) -> Told | None:
    """The sender's receipt of what a delivery came to, if that is told."""
    return (receipts.of_document(delivery, became, now, reason), delivery) if became in TOLD else None


def calls_of(told: Sequence[Told], tenants: Mapping[str, Tenant], now: datetime) -> list[Document]:
    """The calls that these receipts cause."""
    return [
        call
        for receipt, about in told
        if (endpoints := tenants[receipt["tenant"]].endpoints)
        for call in webhook_calls.calls_for(receipt, about, endpoints, now)
    ]


class Teller:
    """`tenants` reads them by id."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def rows(self, told: Sequence[Told], now: datetime) -> dict[str, list[Document]]:
        """What to insert, by collection."""
        if not told:
            return {}
        rows = {receipts.COLLECTION: [receipt for receipt, _ in told]}
        tenants = await self._tenants({receipt["tenant"] for receipt, _ in told})
        if calls := calls_of(told, tenants, now):
            rows[webhook_calls.COLLECTION] = calls
        return rows
