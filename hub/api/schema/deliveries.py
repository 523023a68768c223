"""Deliveries and their attempts, and the replay of failed ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.validation import FILTER_MAX, ID_MAX_CHARS, INVALID_CURSOR, valid_page_size, valid_user_id
from hub.errors import BadUserInput, TooLarge
from hub.model import Role, mailbox_of
from hub.status.deliveries import PREVIEW_COUNT_MAX, READ_CHECKED_MAX
from hub.status.deliveries import ReplayPreview as Preview
from hub.status.delivery_filter import DeliveryQuery as DeliverySelection
from hub.status.delivery_filter import cursor_of
from hub.status.proof import proven_status
from hub.status.virtual_deliveries import virtual_deliveries

CURSOR_MAX_CHARS = 128
DEFAULT_PAGE_SIZE = 50


@strawberry.input(description="Selects deliveries. A delivery must match all fields. Empty: all deliveries.")
class DeliveryFilter:
    channels: list[model.Channel] | None = strawberry.field(default=None, description="Any of them matches.")
    statuses: list[model.DeliveryStatus] | None = strawberry.field(default=None, description="Any of them matches.")
    reasons: list[str] | None = strawberry.field(
        default=None, description="Reasons such as ADDRESS_GONE or REFUSED. Any of them matches."
    )
    providers: list[str] | None = strawberry.field(
        default=None,
        description="Names as in `Attempt.provider`: smtp, ses, sns, web_push. A delivery matches if any of its "
        "attempts called one of them.",
    )
    user_id: ID | None = strawberry.field(default=None, description="The recipient.")
    send_id: ID | None = strawberry.field(default=None, description="The send.")
    category: str | None = strawberry.field(default=None, description="The key of the category.")
    since: datetime | None = strawberry.field(default=None, description="Created at this time or later.")
    until: datetime | None = strawberry.field(default=None, description="Created before this time.")
    failed_since: datetime | None = strawberry.field(
        default=None,
        description="Last failed at this time or later. Only FAILED and RETRYING deliveries match. They are sorted by "
        "the time of the failure, newest first.",
    )
    failed_until: datetime | None = strawberry.field(
        default=None, description="Last failed before this time. Otherwise like `failedSince`."
    )


OptionalDeliveryFilter = Annotated[DeliveryFilter | None, strawberry.argument(description="Null: all deliveries.")]


def _error(root: Parent[model.Attempt], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.error


def _duration_ms(root: Parent[model.Attempt]) -> int:
    return root.ms or 0


@strawberry.type(description="A call of a provider.")
class Attempt:
    at: datetime = strawberry.field(description="The start of the call.")
    ok: bool = strawberry.field(description="True if the provider accepted the message.")
    provider: str = strawberry.field(description="The provider that was called: smtp, ses, sns, web_push, webhook.")
    error: str | None = strawberry.field(
        resolver=_error, description="Why the call failed. Only for roles `service` and `admin`; null for users."
    )
    duration_ms: int = strawberry.field(
        resolver=_duration_ms,
        description="The duration of the call in milliseconds. 0 while it runs, or if its worker died.",
    )


def _provider_id(root: Parent[model.Delivery], info: Info) -> str | None:
    return None if info.context.caller.role is Role.USER else root.provider_id


def _status(root: Parent[model.Delivery]) -> model.DeliveryStatus:
    return proven_status(root)


def _due_at(root: Parent[model.Delivery]) -> datetime | None:
    """Return None for a delivery that is enqueued or claimed: its `due_at` is internal then."""
    return None if root.enqueue_count or root.claim else root.due_at


@strawberry.type(
    description="A notification on one channel and, if the channel has several, on one device. Its id is sent along "
    "(as Message-ID, `webhook-id` or push topic), so receivers can drop duplicates."
)
class Delivery:
    id: ID
    notification: ID = strawberry.field(name="notificationId", description="The notification.")
    send: ID = strawberry.field(name="sendId", description="The send.")
    user_id: ID = strawberry.field(description="The recipient.")
    channel: model.Channel
    device: ID | None = strawberry.field(
        name="deviceId", description="The device that it goes to. Null if the channel has no devices."
    )
    status: model.DeliveryStatus = strawberry.field(resolver=_status)
    reason: str | None = strawberry.field(
        description="Why it is HELD, SKIPPED, FAILED or CANCELLED, such as NO_ADDRESS. Null for other statuses."
    )
    attempts: list[model.Attempt] = strawberry.field(
        graphql_type=list[Attempt], description="The calls of providers, oldest first."
    )
    due_at: datetime | None = strawberry.field(
        resolver=_due_at, description="The time of the next attempt. Null if it does not wait for a time."
    )
    provider_id: str | None = strawberry.field(
        resolver=_provider_id,
        description="The provider's id of the message. Only for roles `service` and `admin`; null for users.",
    )
    created_at: datetime
    updated_at: datetime = strawberry.field(description="The time of the last change.")


@strawberry.type(description="The number of deliveries with one reason.")
class DeliveryReasonCount:
    reason: str = strawberry.field(description="The reason. NONE: the delivery waits for its next attempt.")
    count: int = strawberry.field(description="The number of deliveries.")


@strawberry.type(
    description=f"The effect of `replay` with the same filter. Deliveries are counted up to {PREVIEW_COUNT_MAX:,}."
)
class ReplayPreview:
    count: int = strawberry.field(description="Deliveries that would be sent again.")
    address_gone: int = strawberry.field(
        description="Matching deliveries whose address is gone. They are left out unless `reasons` names ADDRESS_GONE."
    )
    suppressed: int = strawberry.field(
        description="Matching deliveries whose address is suppressed. They are left out unless `reasons` names "
        "SUPPRESSED."
    )
    already_read: int = strawberry.field(
        description="Deliveries of `count` that were read in the meantime and would be SKIPPED. Only the first "
        f"{READ_CHECKED_MAX:,} are checked."
    )
    reasons: list[DeliveryReasonCount] = strawberry.field(
        description="All matching deliveries by reason, the most frequent first."
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
    """Check a filter and convert it. `field` is its path. `send`: only deliveries of that send."""
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
    """Return what `replay` selects. Exactly one of `ids` and `filter` must be given."""
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
        description="Return a delivery of the tenant. Null if it does not exist. Requires role `service` or `admin`.",
    )
    async def delivery(self, info: Info, id: ID) -> model.Delivery | None:
        services, tenant = info.context.services, info.context.require_service()
        if stored := await services.deliveries.get(tenant, id):
            return stored
        notifications = await services.inboxes.get_notifications([id.rpartition("-")[0]])
        virtual = [d for n in notifications.values() if n.tenant == tenant for d in virtual_deliveries(n)]
        return next((delivery for delivery in virtual if delivery.id == id), None)

    @strawberry.field(
        description="Return deliveries that leave the hub, newest first. IN_APP and channels that were not used are "
        "in `Notification.deliveries`, and `Send.counts` counts them. Requires role `service` or `admin`."
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
        description="Return what `replay` with this filter would do. Nothing is sent. Requires role `service` or "
        "`admin`."
    )
    async def replay_preview(self, info: Info, filter: DeliveryFilter) -> ReplayPreview:
        context = info.context
        tenant = context.require_service()
        selection = to_delivery_selection(filter, tenant)
        return ReplayPreview.of(await context.services.deliveries.replay_preview(tenant, selection))


@strawberry.type
class DeliveryMutation:
    @strawberry.mutation(
        description="Send failed deliveries again. Return the number of matching deliveries; beyond 1,000 the rest "
        "follows in the background. FAILED ones are replayed. RETRYING ones become due now if `ids` or "
        "`filter.statuses` names them. Those whose address is gone or suppressed are replayed only if `ids` or "
        "`filter.reasons` names them. Requires role `service` or `admin`."
    )
    async def replay(
        self,
        info: Info,
        ids: Annotated[
            list[ID] | None,
            strawberry.argument(
                description="Ids of deliveries, at most `HUB_CALL_MAX_IDS` (default 1,000). Pass either `ids` or "
                "`filter`."
            ),
        ] = None,
        filter: Annotated[
            DeliveryFilter | None, strawberry.argument(description="Selects deliveries. Pass either `ids` or `filter`.")
        ] = None,
    ) -> int:
        context = info.context
        tenant = context.require_service()
        return await context.services.deliveries.replay(tenant, to_replay_selection(context, tenant, ids, filter))
