"""The events that a tenant's endpoints are told. Each is a receipt, under a name of its own. Pure."""

from hub.model import Channel, DeliveryStatus, Receipt, ReceiptKind

IN_APP: dict[DeliveryStatus | None, str] = {
    DeliveryStatus.DELIVERED: "notification.created",
    DeliveryStatus.EXPIRED: "notification.expired",
    DeliveryStatus.CANCELLED: "notification.recalled",
}
"""What becomes of the inbox's own delivery is what becomes of the notification."""
OUTSIDE: dict[DeliveryStatus | None, str] = {
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
OF_PERSONS = {kind: f"notification.{kind.lower()}" for kind in ReceiptKind if kind is not ReceiptKind.DELIVERY}

EVENTS = (*IN_APP.values(), *OF_PERSONS.values(), *OUTSIDE.values())


def event_of(receipt: Receipt) -> str | None:
    """The event's name; None for a receipt that no endpoint is told."""
    if receipt.kind is not ReceiptKind.DELIVERY:
        return OF_PERSONS[receipt.kind]
    within = receipt.channel is Channel.IN_APP
    return (within and IN_APP.get(receipt.status)) or OUTSIDE.get(receipt.status)
