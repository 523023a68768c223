"""The events of webhook endpoints: receipts with an event name, and events of whole sends. Pure."""

from hub.model import Channel, DeliveryStatus, Reason, Receipt, ReceiptKind

IN_APP_EVENTS: dict[DeliveryStatus | None, str] = {
    DeliveryStatus.DELIVERED: "notification.created",
    DeliveryStatus.EXPIRED: "notification.expired",
    DeliveryStatus.CANCELLED: "notification.recalled",
}
"""The status of the IN_APP delivery is the status of the notification."""
REMOVAL_EVENTS: dict[str | None, str] = {
    Reason.REPLACED: "notification.replaced",
    Reason.RESOLVED: "notification.resolved",
}
"""The events of reasons for CANCELLED in the inbox, other than a recall."""
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
"""Intermediate statuses such as HELD and RETRYING have no events. The event for READ is `notification.read`."""
USER_EVENTS = {kind: f"notification.{kind.lower()}" for kind in ReceiptKind if kind is not ReceiptKind.DELIVERY}

SEND_EXPANDED = "send.expanded"
SEND_PAUSED = "send.paused"
WEBHOOK_TEST = "webhook.test"
"""The event of `testWebhook`. An endpoint receives it on request only, so EVENTS does not contain it."""

EVENTS = (
    *IN_APP_EVENTS.values(),
    *REMOVAL_EVENTS.values(),
    *USER_EVENTS.values(),
    *DELIVERY_EVENTS.values(),
    *(SEND_EXPANDED, SEND_PAUSED),
)


def event_name(receipt: Receipt) -> str | None:
    """Return the event name of a receipt, or None if the receipt has no event."""
    if receipt.kind is not ReceiptKind.DELIVERY:
        return USER_EVENTS[receipt.kind]
    if receipt.channel is not Channel.IN_APP:
        return DELIVERY_EVENTS.get(receipt.status)
    return (
        REMOVAL_EVENTS.get(receipt.reason) or IN_APP_EVENTS.get(receipt.status) or DELIVERY_EVENTS.get(receipt.status)
    )
