"""Receipts and the webhook calls that they cause. The caller writes both in the transaction that causes them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from hub.audience.tenants import Tenants
from hub.model import REPORTED_STATUSES, Delivery, DeliveryStatus, PendingReceipt, Reason, Tenant
from hub.platform.connections import Document
from hub.status import receipts
from hub.status.activity import ActivityCounts
from hub.webhooks import webhook_calls


def build_documents(
    pending: Sequence[PendingReceipt], tenants: Mapping[str, Tenant], now: datetime
) -> dict[str, list[Document]]:
    """Return the documents to insert by collection: the receipts, and the webhook calls that they cause."""
    packed = receipts.pack(pending, now)
    documents = {receipts.COLLECTION: packed.documents}
    calls = [
        call
        for id, one in packed.receipts
        if (endpoints := tenants[one.about.tenant].endpoints)
        for call in webhook_calls.calls_for_receipt(one.stored(id, now), one.about, endpoints, now)
    ]
    if calls:
        documents[webhook_calls.COLLECTION] = calls
    return documents


class ReceiptBuilder:
    """Builds the receipts of deliveries, and counts them. Implements `hub.outbox.claims.Receipts`."""

    def __init__(self, tenants: Tenants, activity: ActivityCounts) -> None:
        self._tenants = tenants
        self._activity = activity

    def receipt_for(self, job: Delivery, status: DeliveryStatus, reason: Reason | None) -> PendingReceipt | None:
        """Return the receipt of a delivery's new status, or None if no receipt is written for that status.

        A digest has no receipts. Its items have."""
        if status not in REPORTED_STATUSES or job.digest_key:
            return None
        return PendingReceipt(job, job.channel, status, reason)

    async def build_documents(self, pending: Sequence[PendingReceipt], now: datetime) -> dict[str, list[Document]]:
        """Return the documents to insert by collection."""
        if not pending:
            return {}
        return build_documents(pending, await self._tenants.get_many({one.about.tenant for one in pending}), now)

    def on_commit(self, jobs: Iterable[tuple[Delivery, DeliveryStatus]]) -> None:
        """Count deliveries with their new statuses, which were committed."""
        self._activity.count_deliveries(jobs)
