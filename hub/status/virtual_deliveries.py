"""The deliveries that are read off the notification itself: the inbox, and the channels decided against."""

from hub.model import Channel, Delivery, DeliveryStatus, Notification


def in_app_status(n: Notification) -> DeliveryStatus:
    """The inbox confirms at once, in the transaction that accepts. A click in a mail or push is no proof that the inbox
    was read."""
    if n.removed_as:
        return n.removed_as
    return DeliveryStatus.READ if n.read_at and not n.read_on else DeliveryStatus.DELIVERED


def virtual_deliveries(n: Notification) -> list[Delivery]:
    """One per channel, IN_APP first, then what was decided against with its reason."""
    found = [] if n.hidden else [_delivery(n, Channel.IN_APP, in_app_status(n), None)]
    return found + [_delivery(n, Channel(name), DeliveryStatus.SKIPPED, reason) for name, reason in n.skipped.items()]


def _delivery(n: Notification, channel: Channel, status: DeliveryStatus, reason: str | None) -> Delivery:
    return Delivery(
        id=f"{n.id}-{channel.lower()}",
        tenant=n.tenant,
        notification=n.id,
        send=n.send,
        mailbox=n.mailbox,
        channel=channel,
        category=n.category,
        status=status,
        priority=n.priority,
        reason=reason,
        created_at=n.created_at,
        updated_at=n.created_at if status is DeliveryStatus.SKIPPED else n.updated_at,
    )
