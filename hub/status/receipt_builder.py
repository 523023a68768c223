"""Receipts and the webhook calls that they cause. The caller writes both in the transaction that causes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from hub.audience.tenants import Tenants
from hub.model import Delivery, DeliveryStatus, Notification, Reason, Tenant
from hub.platform.connections import Document
from hub.status import receipt_change_stream
from hub.webhooks import webhook_calls

PendingReceipt = tuple[Document, Notification | Delivery]
"""A receipt with the notification or delivery that it concerns."""
REPORTED_STATUSES = frozenset(
    {
        *(DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.SKIPPED),
        *(DeliveryStatus.FAILED, DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED),
    }
)
"""The delivery statuses for which a receipt is written."""


def webhook_calls_for(
    pending: Sequence[PendingReceipt], tenants: Mapping[str, Tenant], now: datetime
) -> list[Document]:
    """Return the webhook calls that the receipts cause."""
    return [
        call
        for receipt, about in pending
        if (endpoints := tenants[receipt["tenant"]].endpoints)
        for call in webhook_calls.calls_for_receipt(receipt, about, endpoints, now)
    ]


class ReceiptBuilder:
    """Builds the documents of receipts. Implements `hub.outbox.claims.Receipts` for deliveries."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def receipt_for(
        self, job: Delivery, status: DeliveryStatus, reason: Reason | None, now: datetime
    ) -> PendingReceipt | None:
        """Return the receipt of a delivery's new status, or None if no receipt is written for that status.

        A digest has no receipts. Its items have."""
        if status not in REPORTED_STATUSES or job.digest_key:
            return None
        return receipt_change_stream.delivery_receipt(job, status, now, reason), job

    async def build_documents(self, pending: Sequence[PendingReceipt], now: datetime) -> dict[str, list[Document]]:
        """Return the documents to insert by collection."""
        if not pending:
            return {}
        documents = {receipt_change_stream.COLLECTION: [receipt for receipt, _ in pending]}
        tenants = await self._tenants.get_many({receipt["tenant"] for receipt, _ in pending})
        if calls := webhook_calls_for(pending, tenants, now):
            documents[webhook_calls.COLLECTION] = calls
        return documents
