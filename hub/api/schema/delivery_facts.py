"""Facts about a delivery that its attempts and stored times show."""

from datetime import datetime, timedelta

from strawberry import Parent

from hub import model
from hub.api.context import Info
from hub.decide.explanations import explain_delivery
from hub.model import DeliveryStatus, Role
from hub.platform.tracing import trace_id


def explanation(root: Parent[model.Delivery]) -> str:
    return explain_delivery(root.status, root.reason, root.channel)


def provider(root: Parent[model.Delivery]) -> str | None:
    return root.attempts[-1].provider if root.attempts else None


def last_error(root: Parent[model.Delivery], info: Info) -> str | None:
    """Return the newest error, unless the last attempt succeeded."""
    if info.context.caller.role is Role.USER or not root.attempts or root.attempts[-1].ok:
        return None
    return next((attempt.error for attempt in reversed(root.attempts) if attempt.error and not attempt.ok), None)


def sent_at(root: Parent[model.Delivery]) -> datetime | None:
    accepted = next((attempt for attempt in reversed(root.attempts) if attempt.ok), None)
    return accepted.at + timedelta(milliseconds=accepted.ms or 0) if accepted else None


def delivered_at(root: Parent[model.Delivery]) -> datetime | None:
    """Return the stored time. Earlier versions of the hub stored only the time of the last change."""
    if root.channel is model.Channel.IN_APP:
        return None
    return root.delivered_at or (root.updated_at if root.status is DeliveryStatus.DELIVERED else None)


def trace(root: Parent[model.Delivery], info: Info) -> str | None:
    visible = root.traceparent and info.context.caller.role is not Role.USER
    return trace_id(root.traceparent or "") if visible else None
