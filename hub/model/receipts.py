"""Receipts."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from hub.model.channels import Channel
from hub.model.notifications import Notification
from hub.model.outbox_jobs import Delivery
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus

REPORTED_STATUSES = (
    *(DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.SKIPPED),
    *(DeliveryStatus.FAILED, DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED),
)
"""The delivery statuses for which a receipt is written."""


class ReceiptKind(StrEnum):
    DELIVERY = "DELIVERY"
    SEEN = "SEEN"
    READ = "READ"
    UNREAD = "UNREAD"
    ARCHIVED = "ARCHIVED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLICKED = "CLICKED"
    ACTED = "ACTED"


class Receipt(Record, frozen=True, rename={"id": "_id"}):
    """An event of a notification, caused by the recipient or a channel, and stored in the transaction of the change.
    `action_key`: of ACTED, the key of the action."""

    id: str
    tenant: str
    kind: ReceiptKind
    at: datetime
    send_id: str
    notification_id: str
    user_id: str
    channel: Channel | None = None
    status: DeliveryStatus | None = None
    reason: str | None = None
    action_key: str | None = None


class PendingReceipt(Struct, frozen=True):
    """A receipt before it is stored, when it gets its id and time. `about`: the notification or delivery that it
    concerns."""

    about: Notification | Delivery
    channel: Channel
    status: DeliveryStatus | None = None
    reason: str | None = None
    kind: ReceiptKind = ReceiptKind.DELIVERY
    action_key: str | None = None

    @property
    def notification_id(self) -> str:
        return self.about.notification if isinstance(self.about, Delivery) else self.about.id

    def stored(self, id: str, at: datetime) -> Receipt:
        """Return the receipt with its id and time."""
        return Receipt(
            id=id,
            tenant=self.about.tenant,
            kind=self.kind,
            at=at,
            send_id=self.about.send,
            notification_id=self.notification_id,
            user_id=self.about.user_id,
            channel=self.channel,
            status=self.status,
            reason=self.reason,
            action_key=self.action_key,
        )
