"""Deliveries and their attempts, and the replay of failed ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.validation import FILTER_MAX, ID_MAX_CHARS, INVALID_CURSOR, valid_page_size, valid_user_id
from hub.errors import BadUserInput, TooLarge
from hub.model import ITEMS_SHOWN, Role, Scope, mailbox_of
from hub.status.deliveries import PREVIEW_COUNT_MAX, READ_CHECKED_MAX
from hub.status.deliveries import ReplayPreview as Preview
from hub.status.delivery_query import DeliveryQuery as DeliverySelection
from hub.status.delivery_query import cursor_of
from hub.status.virtual_deliveries import virtual_deliveries

if TYPE_CHECKING:
    from hub.api.schema.notifications import Notification

CURSOR_MAX_CHARS = 128
DEFAULT_PAGE_SIZE = 50
ID_CHARS = 36  # of a notification


@strawberry.input(description="Selects deliveries that match all fields. An empty filter selects all deliveries.")
class DeliveryFilter:
    channels: list[model.Channel] | None = strawberry.field(
        default=None, description="A delivery must be on one of these channels."
    )
    statuses: list[model.DeliveryStatus] | None = strawberry.field(
        default=None, description="A delivery must have one of these statuses."
    )
    reasons: list[str] | None = strawberry.field(
        default=None, description="Reasons such as ADDRESS_GONE or REFUSED. A delivery must have one of them."
    )
    providers: list[str] | None = strawberry.field(
        default=None,
        description="Provider names, as in `Attempt.provider`: smtp, ses, sns, or web_push. A delivery matches if "
        "any of its attempts called one of these providers.",
    )
    user_id: ID | None = strawberry.field(default=None, description="The id of the recipient.")
    send_id: ID | None = strawberry.field(default=None, description="The id of the send.")
    category: str | None = strawberry.field(default=None, description="The key of the category.")
    since: datetime | None = strawberry.field(
        default=None, description="Selects deliveries that were created at this time or later."
    )
    until: datetime | None = strawberry.field(
        default=None, description="Selects deliveries that were created before this time."
    )
    failed_since: datetime | None = strawberry.field(
        default=None,
        description="Selects FAILED and RETRYING deliveries whose last failure was at this time or later. The result "
        "is sorted by the time of the failure, newest first.",
    )
    failed_until: datetime | None = strawberry.field(
        default=None,
        description="Selects FAILED and RETRYING deliveries whose last failure was before this time. The result "
        "is sorted as with `failedSince`.",
    )


OptionalDeliveryFilter = Annotated[
    DeliveryFilter | None,
    strawberry.argument(description="The filter that selects deliveries. Null selects all deliveries."),
]


def _error(root: Parent[model.Attempt], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.error


def _duration_ms(root: Parent[model.Attempt]) -> int:
    return root.ms or 0


@strawberry.type(description="A call to a provider.")
class Attempt:
    at: datetime = strawberry.field(description="The time at which the call started.")
    ok: bool = strawberry.field(description="True if the provider accepted the message.")
    provider: str = strawberry.field(
        description="The name of the provider that was called: smtp, ses, sns, web_push, or webhook. If no provider "
        "was called, `template` if the text could not be rendered, and `hub` if the hub could not prepare the message."
    )
    error: str | None = strawberry.field(
        resolver=_error,
        description="The error that the call failed with, or a remark about a successful call. Visible to the "
        "`service` and `admin` roles; null for users.",
    )
    duration_ms: int = strawberry.field(
        resolver=_duration_ms,
        description="The duration of the call in milliseconds. 0 while the call is running, or if the worker died "
        "during the call.",
    )


def _provider_id(root: Parent[model.Delivery], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.provider_id


def _due_at(root: Parent[model.Delivery]) -> datetime | None:
    """Return None for an enqueued delivery, because its `due_at` is then used internally."""
    return None if root.enqueue_count else root.due_at


def _notification_id(root: Parent[model.Delivery]) -> ID:
    return ID(root.notification or root.newest_notification or "")


def _send_id(root: Parent[model.Delivery]) -> ID:
    return ID(root.send or root.newest_send or "")


async def _items(root: Parent[model.Delivery], info: Info) -> list[model.Notification]:
    return await info.context.digest_notifications(root.id) if root.digest_key else []


def _item_count(root: Parent[model.Delivery]) -> int:
    return root.joined if root.item_count is None else root.item_count


@strawberry.type(
    description="A notification on one channel and, if the channel has devices, for one device. The message contains "
    "the id of the delivery (as Message-ID, `webhook-id`, or push topic), so receivers can discard "
    "duplicates."
)
class Delivery:
    id: ID
    notification_id: ID = strawberry.field(
        resolver=_notification_id,
        description="The id of the notification. For a digest or briefing, the notification of its newest item.",
    )
    send_id: ID = strawberry.field(
        resolver=_send_id,
        description="The id of the send. For a digest or briefing, the send of its newest item. A digest is not "
        "counted in the counts of a send; its items are.",
    )
    user_id: ID = strawberry.field(description="The id of the recipient.")
    channel: model.Channel
    device: ID | None = strawberry.field(
        name="deviceId",
        description="The id of the device that receives the message. Null if the channel has no devices, or for a step "
        "that is not due: its devices are chosen when it is due.",
    )
    step: int = strawberry.field(
        description="0 for a delivery that goes with the send, otherwise the number of the step."
    )
    unless: model.StepStop = strawberry.field(
        description="What stops the delivery while it waits. READ for a delivery that goes with the send."
    )
    status: model.DeliveryStatus
    reason: str | None = strawberry.field(
        description="The reason that the delivery is HELD, SKIPPED, FAILED, or CANCELLED, such as NO_ADDRESS. Null "
        "for other statuses."
    )
    attempts: list[model.Attempt] = strawberry.field(
        graphql_type=list[Attempt], description="The calls to providers, oldest first."
    )
    due_at: datetime | None = strawberry.field(
        resolver=_due_at, description="The time of the next attempt. Null if no attempt is scheduled."
    )
    provider_id: str | None = strawberry.field(
        resolver=_provider_id,
        description="The id that the provider assigned to the message. Visible to the `service` and `admin` roles; "
        "null for users.",
    )
    items: list[model.Notification] = strawberry.field(
        resolver=_items,
        graphql_type=list[Annotated["Notification", strawberry.lazy("hub.api.schema.notifications")]],
        description=f"The notifications that a digest or briefing carries, newest first, at most {ITEMS_SHOWN}. Empty "
        "for other deliveries.",
    )
    item_count: int = strawberry.field(
        resolver=_item_count,
        description="The number of notifications that a digest or briefing carries. 0 for other deliveries.",
    )
    digest_id: ID | None = strawberry.field(
        description="The id of the digest or briefing that carries this delivery. The digest has the `attempts`; "
        "this delivery has none of its own."
    )
    created_at: datetime
    updated_at: datetime = strawberry.field(description="The time of the last change.")


@strawberry.type(description="The number of deliveries with one reason.")
class DeliveryReasonCount:
    reason: str = strawberry.field(
        description="The reason. NONE means that the deliveries wait for their next attempt."
    )
    count: int = strawberry.field(description="The number of deliveries.")


@strawberry.type(
    description=f"The effect of `replay` with the same filter. Deliveries are counted up to {PREVIEW_COUNT_MAX:,}."
)
class ReplayPreview:
    count: int = strawberry.field(description="The number of deliveries that would be sent again.")
    address_gone: int = strawberry.field(
        description="The number of matching deliveries whose address no longer exists. They are not sent again "
        "unless `reasons` contains ADDRESS_GONE."
    )
    suppressed: int = strawberry.field(
        description="The number of matching deliveries whose address is suppressed. They are not sent again unless "
        "`reasons` contains SUPPRESSED."
    )
    already_read: int = strawberry.field(
        description="The number of deliveries in `count` that would be SKIPPED because the notification was read in "
        f"the meantime. Only the first {READ_CHECKED_MAX:,} deliveries are checked."
    )
    reasons: list[DeliveryReasonCount] = strawberry.field(
        description="The number of matching deliveries by reason, most frequent first."
    )

    @classmethod
    def of(cls, preview: Preview) -> "ReplayPreview":
        return cls(
            count=preview.count,
            address_gone=preview.address_gone,
            suppressed=preview.suppressed,
            already_read=preview.already_read,
            reasons=[
                DeliveryReasonCount(reason=reason, count=count)
                for reason, count in sorted(preview.reasons.items(), key=lambda row: (-row[1], row[0]))
            ],
        )


def to_delivery_selection(
    filter: DeliveryFilter | None, tenant: str, field: str = "filter", *, send: str | None = None
) -> DeliverySelection:
    """Validate and convert a filter. `field` is the path of the filter. `send` limits the selection to one send."""
    filter = filter or DeliveryFilter()
    _check_sizes(filter, field)
    if send is not None and filter.send_id not in (None, send):
        raise BadUserInput("`deliveries` of a send returns that send only. Leave out `sendId`.", f"{field}.sendId")
    user = filter.user_id
    return DeliverySelection(
        channels=tuple(filter.channels or ()),
        statuses=tuple(filter.statuses or ()),
        reasons=tuple(filter.reasons or ()),
        providers=tuple(filter.providers or ()),
        mailbox=None if user is None else mailbox_of(tenant, valid_user_id(user, f"{field}.userId")),
        category=filter.category,
        since=filter.since,
        until=filter.until,
        failed_since=filter.failed_since,
        failed_until=filter.failed_until,
        send=send or filter.send_id,
    )


def _check_sizes(filter: DeliveryFilter, field: str) -> None:
    for name, values in (
        ("channels", filter.channels),
        ("statuses", filter.statuses),
        ("reasons", filter.reasons),
        ("providers", filter.providers),
    ):
        if values is not None and len(values) > FILTER_MAX:
            raise BadUserInput(f"At most {FILTER_MAX} items are allowed.", f"{field}.{name}")
    for reason in filter.reasons or ():
        if reason not in model.Reason.__members__:
            raise BadUserInput(
                f"{reason[:64]!r} is not a reason. The reasons are {', '.join(model.Reason)}.", f"{field}.reasons"
            )
    if any(len(provider) > ID_MAX_CHARS for provider in filter.providers or ()):
        raise BadUserInput(f"Each provider must have at most {ID_MAX_CHARS} characters.", f"{field}.providers")
    for name, value in (("sendId", filter.send_id), ("category", filter.category)):
        if value is not None and len(value) > ID_MAX_CHARS:
            raise BadUserInput(f"At most {ID_MAX_CHARS} characters are allowed.", f"{field}.{name}")


async def delivery_page(
    context: Context, tenant: str, selection: DeliverySelection, first: int | None, after: str | None
) -> Connection[Delivery]:
    """Return a page of stored deliveries, newest first."""
    if after is not None and len(after) > CURSOR_MAX_CHARS:
        raise BadUserInput(INVALID_CURSOR, "after")
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, context.services.settings)
    try:
        rows = await context.services.deliveries.page(tenant, selection, size + 1, after)
    except ValueError:
        raise BadUserInput(
            "`after` is a cursor of a list with another order. Pass a cursor that this filter returned.", "after"
        ) from None
    page = rows[:size]
    cursors = [cursor_of(selection, delivery) for delivery in page]
    return Connection(**page_fields(page, cursors, more=len(rows) > size, after=after))


def to_replay_selection(
    context: Context, tenant: str, ids: Sequence[str] | None, filter: DeliveryFilter | None
) -> DeliverySelection:
    """Return the selection for `replay`. Exactly one of `ids` and `filter` must be set."""
    if (ids is None) == (filter is None):
        raise BadUserInput("Pass either `ids` or `filter`.", "ids")
    if ids is None:
        return to_delivery_selection(filter, tenant)
    max_ids = context.services.settings.call_max_ids
    if len(ids) > max_ids:
        raise TooLarge(
            f"`ids` has more than {max_ids} items (HUB_CALL_MAX_IDS). Split them into several calls, or use `filter`."
        )
    return DeliverySelection(ids=tuple(id for id in ids if len(id) <= CURSOR_MAX_CHARS))


@strawberry.type
class DeliveryQuery:
    @strawberry.field(
        graphql_type=Delivery | None,
        description="Return a delivery of the tenant, or null if the delivery does not exist. Requires the `service` "
        "or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ),
    )
    async def delivery(self, info: Info, id: ID) -> model.Delivery | None:
        services, tenant = info.context.services, info.context.require_service()
        if stored := await services.deliveries.get(tenant, id):
            return stored
        notifications = await services.inboxes.get_notifications([id[:ID_CHARS]])
        virtual = [d for n in notifications.values() if n.tenant == tenant for d in virtual_deliveries(n)]
        return next((delivery for delivery in virtual if delivery.id == id), None)

    @strawberry.field(
        description="Return the deliveries to external providers, newest first. IN_APP deliveries and deliveries on "
        "channels that were not used are in `Notification.deliveries` and are counted in `Send.counts`. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ),
    )
    async def deliveries(
        self,
        info: Info,
        filter: OptionalDeliveryFilter = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> Connection[Delivery]:
        tenant = info.context.require_service()
        return await delivery_page(info.context, tenant, to_delivery_selection(filter, tenant), first, after)

    @strawberry.field(
        description="Return the effect that `replay` would have with this filter, without sending anything. Requires "
        "the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ),
    )
    async def replay_preview(self, info: Info, filter: DeliveryFilter) -> ReplayPreview:
        context = info.context
        tenant = context.require_service()
        selection = to_delivery_selection(filter, tenant)
        return ReplayPreview.of(await context.services.deliveries.replay_preview(tenant, selection))


@strawberry.type
class DeliveryMutation:
    @strawberry.mutation(
        description="Send failed deliveries again. Return the number of matching deliveries. The first 1,000 are "
        "replayed immediately, the others in the background. FAILED deliveries are replayed. RETRYING "
        "deliveries become due immediately if they are selected by `ids` or `filter.statuses`. "
        "Deliveries whose address no longer exists or is suppressed are replayed only if they are "
        "selected by `ids` or `filter.reasons`. Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.SEND),
    )
    async def replay(
        self,
        info: Info,
        ids: Annotated[
            list[ID] | None,
            strawberry.argument(
                description="The ids of deliveries, at most `HUB_CALL_MAX_IDS` (default 1,000). Pass either `ids` or "
                "`filter`."
            ),
        ] = None,
        filter: Annotated[
            DeliveryFilter | None,
            strawberry.argument(description="The filter that selects deliveries. Pass either `ids` or `filter`."),
        ] = None,
    ) -> int:
        context = info.context
        tenant = context.require_service()
        return await context.services.deliveries.replay(tenant, to_replay_selection(context, tenant, ids, filter))
