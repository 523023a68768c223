"""What became of what was sent: deliveries, their attempts, dead letters, and calling a send off."""

from collections.abc import Sequence
from datetime import datetime

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.fast_inputs import fast_input
from hub.api.schema.inputs import FILTER_MAX, ID_MAX_CHARS, valid_page_size, valid_user_id
from hub.errors import BadUserInput, TooLarge
from hub.model import Role, mailbox_of
from hub.status.deliveries import PREVIEW_COUNT_MAX, READ_CHECKED_MAX
from hub.status.deliveries import ReplayPreview as Preview
from hub.status.delivery_filter import DeliveryQuery
from hub.status.proof import proven_status

CURSOR_MAX_CHARS = 128

strawberry.enum(
    model.DeliveryStatus,
    description="READ: this channel proved that the recipient read it: the inbox, or a click in an email or push. "
    "`Notification.readAt` says whether it was read at all.",
)


@fast_input
@strawberry.input(description="Empty is all.")
class DeliveryFilter:
    channels: list[model.Channel] | None = None
    statuses: list[model.DeliveryStatus] | None = None
    reasons: list[str] | None = strawberry.field(default=None, description="ADDRESS_GONE, REFUSED and so on.")
    providers: list[str] | None = strawberry.field(
        default=None, description="Any that was called, as `Attempt.provider` names it: smtp, ses, sns, web_push."
    )
    user_id: ID | None = None
    send_id: ID | None = None
    category: str | None = None
    since: datetime | None = strawberry.field(default=None, description="By the time of making, as `until`.")
    until: datetime | None = None
    failed_since: datetime | None = strawberry.field(
        default=None,
        description="By the time of the last failed attempt, as `failedUntil`: of FAILED and RETRYING only, and those "
        "that failed last come first.",
    )
    failed_until: datetime | None = None


def _error(root: Parent[model.Attempt], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.error


def _duration_ms(root: Parent[model.Attempt]) -> int:
    return root.ms or 0


@strawberry.type(description="One call of a provider.")
class Attempt:
    at: datetime
    ok: bool
    provider: str
    error: str | None = strawberry.field(resolver=_error, description="Role service and up; null for users.")
    duration_ms: int = strawberry.field(resolver=_duration_ms)


def _provider_id(root: Parent[model.Delivery], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.provider_id


def _status(root: Parent[model.Delivery]) -> model.DeliveryStatus:
    return proven_status(root)


def _due_at(root: Parent[model.Delivery]) -> datetime | None:
    """Of what waits for its time; on the queue or in a dispatcher's hands that is no time of its own."""
    return None if root.enqueue_count or root.claim else root.due_at


@strawberry.type(description="What became of a notification on one channel and, where it has several, one device.")
class Delivery:
    id: ID
    notification: ID = strawberry.field(name="notificationId")
    send: ID = strawberry.field(name="sendId")
    user_id: ID
    channel: model.Channel
    device: ID | None = strawberry.field(
        name="deviceId", description="The device or address it goes to, where the channel has several."
    )
    status: model.DeliveryStatus = strawberry.field(resolver=_status)
    reason: str | None = strawberry.field(description="Why it was held, skipped, failed or ended.")
    attempts: list[model.Attempt] = strawberry.field(graphql_type=list[Attempt])
    due_at: datetime | None = strawberry.field(resolver=_due_at, description="When it is tried again, if it waits.")
    provider_id: str | None = strawberry.field(
        resolver=_provider_id, description="What the provider calls it. Role service and up; null for users."
    )
    created_at: datetime
    updated_at: datetime


@strawberry.type
class DeliveryEdge:
    cursor: str
    node: model.Delivery = strawberry.field(graphql_type=Delivery)


@strawberry.type(description="Of what matches, by reason; NONE is what only waits for its next try.")
class DeliveryReasonCount:
    reason: str
    count: int


@strawberry.type(description=f"What `replay` with this filter would do. Counted up to {PREVIEW_COUNT_MAX:,}.")
class ReplayPreview:
    count: int = strawberry.field(description="How many it would bring back.")
    address_gone: int = strawberry.field(
        description="How many match whose address is gone. They are left out unless `reasons` names ADDRESS_GONE."
    )
    suppressed: int = strawberry.field(
        description="How many match whose address is suppressed. They are left out unless `reasons` names SUPPRESSED."
    )
    already_read: int = strawberry.field(
        description=f"How many of those were read meanwhile and would be SKIPPED, of the first {READ_CHECKED_MAX:,}."
    )
    reasons: list[DeliveryReasonCount] = strawberry.field(description="All that match, the most first.")

    @classmethod
    def of(cls, found: Preview) -> "ReplayPreview":
        return cls(
            count=found.count,
            address_gone=found.address_gone,
            suppressed=found.suppressed,
            already_read=found.already_read,
            reasons=[
                DeliveryReasonCount(reason=reason, count=count)
                for reason, count in sorted(found.reasons.items(), key=lambda row: (-row[1], row[0]))
            ],
        )


def to_delivery_filter(
    given: DeliveryFilter | None, tenant: str, field: str = "filter", *, send: str | None = None
) -> DeliveryQuery:
    """A filter, checked."""
    given = given or DeliveryFilter()
    for name, values in (
        ("channels", given.channels),
        ("statuses", given.statuses),
        ("reasons", given.reasons),
        ("providers", given.providers),
    ):
        if values is not None and len(values) > FILTER_MAX:
            raise BadUserInput(f"At most {FILTER_MAX} of them.", f"{field}.{name}")
    for reason in given.reasons or ():
        if reason not in model.Reason.__members__:
            raise BadUserInput(f"There is no such reason. Reasons are {', '.join(model.Reason)}.", f"{field}.reasons")
    if any(len(provider) > ID_MAX_CHARS for provider in given.providers or ()):
        raise BadUserInput(f"At most {ID_MAX_CHARS} characters each.", f"{field}.providers")
    if given.send_id is not None and len(given.send_id) > ID_MAX_CHARS:
        raise BadUserInput(f"At most {ID_MAX_CHARS} characters.", f"{field}.sendId")
    if send is not None and given.send_id not in (None, send):
        raise BadUserInput("These are the deliveries of one send: leave `sendId` out.", f"{field}.sendId")
    if given.category is not None and len(given.category) > ID_MAX_CHARS:
        raise BadUserInput(f"At most {ID_MAX_CHARS} characters.", f"{field}.category")
    person = None if given.user_id is None else mailbox_of(tenant, valid_user_id(given.user_id, f"{field}.userId"))
    return DeliveryQuery(
        channels=tuple(given.channels or ()),
        statuses=tuple(given.statuses or ()),
        reasons=tuple(given.reasons or ()),
        providers=tuple(given.providers or ()),
        mailbox=person,
        category=given.category,
        since=given.since,
        until=given.until,
        failed_since=given.failed_since,
        failed_until=given.failed_until,
        send=send or given.send_id,
    )


async def load_page(
    context: Context, tenant: str, asked: DeliveryQuery, first: int | None, after: str | None
) -> tuple[list[model.Delivery], bool]:
    """One page, and whether there is more."""
    if after is not None and len(after) > CURSOR_MAX_CHARS:
        raise BadUserInput("after is not a cursor of this hub: hand back one that it gave, unchanged.", "after")
    size = valid_page_size(first, 50, context.services.settings)
    try:
        found = await context.services.deliveries.page(tenant, asked, size + 1, after)
    except ValueError:
        raise BadUserInput("after is a cursor of another order: hand back one of this filter.", "after") from None
    return found[:size], len(found) > size


def to_replay_filter(
    context: Context, tenant: str, ids: Sequence[str] | None, filter: DeliveryFilter | None
) -> DeliveryQuery:
    """What `replay` names: exactly one of its two arguments."""
    if (ids is None) == (filter is None):
        raise BadUserInput("Name deliveries by `ids`, or by `filter`: one of the two.", "ids")
    if ids is None:
        return to_delivery_filter(filter, tenant)
    most = context.services.settings.call_max_ids
    if len(ids) > most:
        raise TooLarge(f"ids holds more than {most} (HUB_CALL_MAX_IDS): call in parts, or replay by `filter`.")
    return DeliveryQuery(ids=tuple(id for id in ids if len(id) <= CURSOR_MAX_CHARS))
