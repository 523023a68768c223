"""Filters of deliveries, and their conversion to selections."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import ID

from hub import model
from hub.api.context import Context
from hub.api.schema.validation import FILTER_MAX, ID_MAX_CHARS, valid_user_id
from hub.errors import BadUserInput, TooLarge
from hub.model import mailbox_of
from hub.status.delivery_query import DeliveryQuery as DeliverySelection

CURSOR_MAX_CHARS = 128
ERROR_MAX_CHARS = 1024


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
    error: str | None = strawberry.field(
        default=None,
        description="The error of the last attempt, or its beginning, as in `Delivery.lastError` and "
        f"`DeliveryGroup.error`. At most {ERROR_MAX_CHARS:,} characters.",
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
    include_decided: bool | None = strawberry.field(
        default=False,
        description="True to include deliveries that never were to leave the hub: those on IN_APP, on channels that "
        "were decided against (SKIPPED), and those whose text could not be rendered when the send was decided. "
        "Requires `userId` or `sendId`. The result is sorted by creation, newest first.",
    )


OptionalDeliveryFilter = Annotated[
    DeliveryFilter | None,
    strawberry.argument(description="The filter that selects deliveries. Null selects all deliveries."),
]


def to_delivery_selection(
    filter: DeliveryFilter | None, tenant: str, field: str = "filter", *, send: str | None = None
) -> DeliverySelection:
    """Validate and convert a filter. `field` is the path of the filter. `send` limits the selection to one send."""
    filter = filter or DeliveryFilter()
    _check_sizes(filter, field)
    if send is not None and filter.send_id not in (None, send):
        raise BadUserInput("`deliveries` of a send returns that send only. Leave out `sendId`.", f"{field}.sendId")
    user = filter.user_id
    if filter.include_decided and user is None and send is None and filter.send_id is None:
        raise BadUserInput(
            "`includeDecided` requires `userId` or `sendId`: these deliveries are stored in notifications, which have "
            "an index by user and one by send, but none for all of a tenant.",
            f"{field}.includeDecided",
        )
    if filter.include_decided and filter.error:
        raise BadUserInput("`error` selects stored deliveries only. Leave out `includeDecided`.", f"{field}.error")
    return DeliverySelection(
        channels=tuple(filter.channels or ()),
        statuses=tuple(filter.statuses or ()),
        reasons=tuple(filter.reasons or ()),
        providers=tuple(filter.providers or ()),
        error=filter.error or None,
        mailbox=None if user is None else mailbox_of(tenant, valid_user_id(user, f"{field}.userId")),
        category=filter.category,
        since=filter.since,
        until=filter.until,
        failed_since=filter.failed_since,
        failed_until=filter.failed_until,
        send=send or filter.send_id,
        include_decided=bool(filter.include_decided),
    )


def to_stored_selection(filter: DeliveryFilter | None, tenant: str) -> DeliverySelection:
    """Validate and convert a filter of deliveries that can be sent again or cancelled. They are all stored."""
    if filter and filter.include_decided:
        raise BadUserInput(
            "`includeDecided` is only for lists of deliveries. Here, leave it out.",
            "filter.includeDecided",
        )
    return to_delivery_selection(filter, tenant)


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
    if filter.error and len(filter.error) > ERROR_MAX_CHARS:
        raise BadUserInput(f"At most {ERROR_MAX_CHARS:,} characters are allowed.", f"{field}.error")
    for name, value in (("sendId", filter.send_id), ("category", filter.category)):
        if value is not None and len(value) > ID_MAX_CHARS:
            raise BadUserInput(f"At most {ID_MAX_CHARS} characters are allowed.", f"{field}.{name}")


def to_replay_selection(
    context: Context, tenant: str, ids: Sequence[str] | None, filter: DeliveryFilter | None
) -> DeliverySelection:
    """Return the selection for `replay`. Exactly one of `ids` and `filter` must be set."""
    if (ids is None) == (filter is None):
        raise BadUserInput("Pass either `ids` or `filter`.", "ids")
    reasons = set(filter.reasons or ()) if filter else set()
    if model.Reason.RESTORED in reasons and len(reasons) > 1:
        raise BadUserInput("RESTORED cannot be combined with other reasons: make two calls.", "filter.reasons")
    if ids is None:
        return to_stored_selection(filter, tenant)
    max_ids = context.services.settings.call_max_ids
    if len(ids) > max_ids:
        raise TooLarge(
            f"`ids` has more than {max_ids} items (HUB_CALL_MAX_IDS). Split them into several calls, or use `filter`."
        )
    return DeliverySelection(ids=tuple(id for id in ids if len(id) <= CURSOR_MAX_CHARS))
