"""Receipts."""

from datetime import datetime
from enum import StrEnum

from hub.model.channels import Channel
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus


class ReceiptKind(StrEnum):
    DELIVERY = "DELIVERY"
    SEEN = "SEEN"
    READ = "READ"
    UNREAD = "UNREAD"
    ARCHIVED = "ARCHIVED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLICKED = "CLICKED"


class Receipt(Record, frozen=True, rename={"id": "_id"}):
    """An event of a notification, caused by the recipient or a channel, and stored in the transaction of the change."""

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
