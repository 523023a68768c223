"""Jobs of the outbox: deliveries, and calls of tenants' webhook endpoints."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.mailboxes import user_of
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus


class Attempt(Record, frozen=True):
    """One call of a provider. `ms`: duration; None while the call runs, and forever if its worker crashed."""

    at: datetime
    provider: str
    ok: bool = False
    error: str | None = None
    ms: int | None = None


class Delivery(Record, frozen=True, rename={"id": "_id"}):
    """A notification on one channel and, if the channel sends to devices, one device.

    Stored only if it may leave the hub. The others are computed from the notification.

    - `lane`: its queue. `enqueue_count`: how often it was enqueued since the last claim.
    - `due_at`: when the scheduler has to enqueue it or expire its lease. None when it is finished.
    - `claim`: token of the worker that has it. `lease_expirations`: number of leases that ended before a result.
    - `tries`: rounds of attempts. A round calls the providers of the channel until one returns no Retry.
    - `traceparent`: W3C trace context of the send, if that is traced.
    - `clicked_at`: time of the first click.
    """

    id: str
    tenant: str
    notification: str
    send: str
    mailbox: str
    channel: Channel
    category: str
    status: DeliveryStatus
    priority: Priority
    created_at: datetime
    updated_at: datetime
    lane: str = ""
    enqueue_count: int = 0
    device: str | None = None
    reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    due_at: datetime | None = None
    expires_at: datetime | None = None
    claim: str | None = None
    lease_expirations: int = 0
    provider_id: str | None = None
    traceparent: str | None = None
    clicked_at: datetime | None = None

    @property
    def user_id(self) -> str:
        return user_of(self.mailbox)


class WebhookCall(Record, frozen=True, rename={"id": "_id"}):
    """One event for one endpoint of a tenant. `payload`: the JSON text of the body, built when the event happened. The
    other fields are those of a delivery."""

    id: str
    tenant: str
    endpoint: str
    event: str
    payload: str
    status: DeliveryStatus
    priority: Priority
    created_at: datetime
    updated_at: datetime
    lane: str = ""
    enqueue_count: int = 0
    reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    due_at: datetime | None = None
    claim: str | None = None
    lease_expirations: int = 0
    provider_id: str | None = None
