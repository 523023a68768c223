"""Deliveries that are stored only in the notification: IN_APP and skipped channels, and emails that were deleted."""

from datetime import datetime

from msgspec.structs import replace

from hub.model import Attempt, Channel, Delivery, DeliveryStatus, Notification, Reason, delivery_id

TEMPLATE_PROVIDER = "template"
"""The provider in the attempt of a delivery whose text could not be rendered."""


def in_app_status(n: Notification) -> DeliveryStatus:
    """Return the status of the IN_APP delivery. The status is DELIVERED from its creation. A click in an email or push
    message does not change the status to READ."""
    if n.removed_as:
        return n.removed_as
    return DeliveryStatus.READ if n.read_at and not n.read_on else DeliveryStatus.DELIVERED


def virtual_deliveries(n: Notification) -> list[Delivery]:
    """Return one delivery per channel: IN_APP first, then the channels whose text could not be rendered, and the
    skipped channels with the reason."""
    in_app = [] if n.hidden else [_delivery(n, Channel.IN_APP, in_app_status(n), n.removed_reason, n.in_app_step)]
    failed = [
        replace(
            _delivery(n, Channel(name), DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR),
            attempts=(failed_rendering(error, n.created_at),),
        )
        for name, error in n.failed.items()
    ]
    skipped = [_delivery(n, Channel(name), DeliveryStatus.SKIPPED, reason) for name, reason in n.skipped.items()]
    return in_app + failed + skipped


def deleted_email(n: Notification, id: str) -> Delivery | None:
    """Return a deleted email delivery as it was when it was sent. Return None if the delivery was not an email."""
    if not id.startswith(delivery_id(n.id, Channel.EMAIL, None, 0)):
        return None
    return replace(_delivery(n, Channel.EMAIL, DeliveryStatus.SENT, None), id=id)


def failed_rendering(error: str, at: datetime) -> Attempt:
    """Return the attempt of a delivery whose text could not be rendered."""
    return Attempt(at=at, provider=TEMPLATE_PROVIDER, error=error, ms=0)


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
        updated_at=n.created_at if status in {DeliveryStatus.SKIPPED, DeliveryStatus.FAILED} else n.updated_at,
    )
