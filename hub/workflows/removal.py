"""The removal of a live notification by a newer one, or because its subject is settled."""

from hub.inbox import state
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Channel, DeliveryStatus, Notification, PendingReceipt, Reason


def remove(unit: UnitOfWork, n: Notification, reason: Reason) -> None:
    """Remove a live notification, with a receipt. Its waiting deliveries end after the commit."""
    after = state.removed(DeliveryStatus.CANCELLED, reason)(n, unit.now)
    if after is None:
        return
    unit.change(after)
    unit.lock(n.mailbox)  # also for a hidden notification, which does not change the mailbox
    if not n.hidden:
        unit.receipts.append(PendingReceipt(after, Channel.IN_APP, DeliveryStatus.CANCELLED, reason))
    if n.has_deliveries:
        unit.deliveries_to_end[n.id] = reason
