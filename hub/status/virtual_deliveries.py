"""Deliveries that are stored only in the notification: IN_APP and skipped channels."""

from hub.model import Channel, Delivery, DeliveryStatus, Notification, delivery_id


def in_app_status(n: Notification) -> DeliveryStatus:
    """Return the status of the IN_APP delivery. The status is DELIVERED from its creation. A click in an email or push
    message does not change the status to READ."""
    if n.removed_as:
        return n.removed_as
    return DeliveryStatus.READ if n.read_at and not n.read_on else DeliveryStatus.DELIVERED


def virtual_deliveries(n: Notification) -> list[Delivery]:
    """Return one delivery per channel: IN_APP first, then the skipped channels with the reason."""
    in_app = [] if n.hidden else [_delivery(n, Channel.IN_APP, in_app_status(n), n.removed_reason, n.in_app_step)]
    return in_app + [_delivery(n, Channel(name), DeliveryStatus.SKIPPED, reason) for name, reason in n.skipped.items()]


def _delivery(n: Notification, channel: Channel, status: DeliveryStatus, reason: str | None, step: int = 0) -> Delivery:
    return Delivery(
        id=delivery_id(n.id, channel, None, step),
        tenant=n.tenant,
        notification=n.id,
        send=n.send,
        mailbox=n.mailbox,
        channel=channel,
        category=n.category,
        status=status,
        priority=n.priority,
        reason=reason,
        step=step,
        created_at=n.created_at,
        updated_at=n.created_at if status is DeliveryStatus.SKIPPED else n.updated_at,
    )
