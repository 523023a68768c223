"""Receipts, and the calls of tenants' endpoints that they cause: written in the transaction that they tell of."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from hub.connections import Document
from hub.model import Delivery, Notification, Tenant
from hub.status import receipts, webhook_calls

Told = tuple[Document, Notification | Delivery]
"""A receipt, and what it is about."""
Tenants = Callable[[Collection[str]], Awaitable[Mapping[str, Tenant]]]


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
