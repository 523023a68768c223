"""The events that a tenant's endpoints are told. Each is a receipt, under a name of its own. Pure."""

from hub.model import Channel, DeliveryStatus, Receipt, ReceiptKind

IN_APP_EVENTS: dict[DeliveryStatus | None, str] = {
    DeliveryStatus.DELIVERED: "notification.created",
    DeliveryStatus.EXPIRED: "notification.expired",
    DeliveryStatus.CANCELLED: "notification.recalled",
}
"""What becomes of the inbox's own delivery is what becomes of the notification."""
DELIVERY_EVENTS: dict[DeliveryStatus | None, str] = {
    status: f"delivery.{status.lower()}"
    for status in (
        DeliveryStatus.SENT,
        DeliveryStatus.DELIVERED,
        DeliveryStatus.FAILED,
        DeliveryStatus.SKIPPED,
        DeliveryStatus.CANCELLED,
        DeliveryStatus.EXPIRED,
    )
}
"""States on the way (HELD, RETRYING ...) are no events; READ is told as `notification.read`."""
USER_EVENTS = {kind: f"notification.{kind.lower()}" for kind in ReceiptKind if kind is not ReceiptKind.DELIVERY}

EVENTS = (*IN_APP_EVENTS.values(), *USER_EVENTS.values(), *DELIVERY_EVENTS.values())


def event_name(receipt: Receipt) -> str | None:
    """The event's name; None for a receipt that no endpoint is told."""
    if receipt.kind is not ReceiptKind.DELIVERY:
        return USER_EVENTS[receipt.kind]
    within = receipt.channel is Channel.IN_APP
    return (within and IN_APP_EVENTS.get(receipt.status)) or DELIVERY_EVENTS.get(receipt.status)
