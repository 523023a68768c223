"""Jobs of the outbox, such as deliveries and calls to tenants' webhook endpoints."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.digests import DigestKind
from hub.model.mailboxes import user_of
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus
from hub.model.steps import StepStop


def delivery_id(notification: str, channel: Channel, device: str | None, step: int) -> str:
    """Return the id of a delivery. The id of a later step ends in the number of the step."""
    id = f"{notification}-{device or channel.lower()}"
    return f"{id}-{step}" if step else id


class Attempt(Record, frozen=True):
    """One call to a provider. `ms`: the duration. None while the call runs, and permanently if the worker crashed."""

    at: datetime
    provider: str
    ok: bool = False
    error: str | None = None
    ms: int | None = None


class JobOutcome(Record, frozen=True, kw_only=True):
    """The final state of a job, with the values that the job gets. A value that is missing here is removed from the
    job, except `lane`."""

    status: DeliveryStatus
    updated_at: datetime
    attempts: tuple[Attempt, ...] = ()
    reason: str | None = None
    tries: int = 0
    lease_expirations: int = 0
    provider_id: str | None = None
    lane: str | None = None


class Job(Record, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A job of the outbox.

    - `lane`: its queue. `enqueue_count`: the number of times it was enqueued since the last claim.
    - `due_at`: the time on the hub's clock when the scheduler must enqueue or release it. None when it is claimed or
      finished.
    - `claim`: the token of the worker that claimed it. `leased_until`: the real time when the lease of the claim ends.
      `lease_expirations`: the number of leases that expired before a result was stored.
    - `tries`: the number of rounds of attempts. A round calls the providers of the channel until one does not return
      Retry.
    """

    id: str
    tenant: str
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
    leased_until: datetime | None = None
    lease_expirations: int = 0
    provider_id: str | None = None

    @property
    def accepted_at(self) -> datetime:
        """The time since which a worker may take the job."""
        return self.created_at


class Delivery(Job, frozen=True, kw_only=True):
    """A notification on one channel and, if the channel sends to devices, one device.

    A delivery is stored only if it may leave the hub. Other deliveries are computed from the notification.

    - `step`: 0 for a delivery that goes with the send, otherwise the number of the step. A step that is not due has no
      device.
    - `unless`: what stops the delivery while it waits.
    - `digest_id`: set if the delivery is an item of this digest. An item that waits has neither a lane nor `due_at`, so
      it cannot be claimed.
    - `digest_key`: set if the delivery is a digest, which carries other deliveries. It has neither `notification` nor
      `send`. `newest_notification` and `newest_send` are those of the item that joined last.
    - `digest_kind`: DIGEST, or BRIEFING for what quiet hours and do-not-disturb held. A briefing has items of several
      categories, and no category of its own.
    - `chosen`: True if the user chose the end of the digest.
    - `open`: True while items may join. `joined`: the number of items that joined. `item_count`: the number of items in
      the message.
    - `items_pending`: True until the items have the final status of the digest.
    - `template_version`, `layout_version`: the versions of the templates that a digest recorded when it was closed. 0
      without such a template.
    - `released_at`: the time when the scheduler released a delivery that was HELD.
    - `traceparent`: the W3C trace context of the send, if the send is traced.
    - `delivered_at`: the time when the provider confirmed the delivery. `clicked_at`: the time of the first click.
    - `counted`: True if it counted against the daily limit of the user.
    - `revision`: a revision of the user's preferences that is not newer than the one that decided when it leaves.
    - `expanded`: True if the send named no users, so workers listed its recipients.
    """

    mailbox: str
    channel: Channel
    category: str
    notification: str = ""
    send: str = ""
    device: str | None = None
    expires_at: datetime | None = None
    traceparent: str | None = None
    delivered_at: datetime | None = None
    clicked_at: datetime | None = None
    step: int = 0
    unless: StepStop = StepStop.READ
    released_at: datetime | None = None
    counted: bool = False
    revision: int = 0
    expanded: bool = False
    digest_id: str | None = None
    digest_key: str | None = None
    digest_kind: DigestKind = DigestKind.DIGEST
    chosen: bool = False
    open: bool = False
    joined: int = 0
    item_count: int | None = None
    items_pending: bool = False
    template_version: int | None = None
    layout_version: int | None = None
    newest_notification: str | None = None
    newest_send: str | None = None

    @property
    def user_id(self) -> str:
        return user_of(self.mailbox)

    @property
    def accepted_at(self) -> datetime:
        return self.released_at or self.created_at


class WebhookCall(Job, frozen=True, kw_only=True):
    """One event for one endpoint of a tenant. `payload`: the JSON text of the body, created when the event occurred."""

    endpoint: str
    event: str
    payload: str
