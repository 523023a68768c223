"""Deliveries and their attempts, and the replay of failed ones."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema import delivery_facts
from hub.api.schema.access import Caller, access
from hub.api.schema.connections import After, Connection, First, page_fields
from hub.api.schema.delivery_filter import (
    CURSOR_MAX_CHARS,
    OptionalDeliveryFilter,
    to_delivery_selection,
)
from hub.api.schema.validation import INVALID_CURSOR, valid_page_size
from hub.errors import BadUserInput
from hub.model import ITEMS_SHOWN, KeyRole, Role, Scope
from hub.status.decided_deliveries import EXAMINED_MAX
from hub.status.deliveries import COUNT_MAX
from hub.status.delivery_query import DeliveryQuery as DeliverySelection
from hub.status.delivery_query import cursor_of
from hub.status.virtual_deliveries import virtual_deliveries

if TYPE_CHECKING:
    from hub.api.schema.notifications import Notification

DEFAULT_PAGE_SIZE = 50
ID_CHARS = 36  # of a notification


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


async def _notification(root: Parent[model.Delivery], info: Info) -> model.Notification | None:
    return await info.context.find_notification(_notification_id(root))


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
    notification: model.Notification | None = strawberry.field(
        resolver=_notification,
        graphql_type=Annotated["Notification", strawberry.lazy("hub.api.schema.notifications")] | None,
        description="The notification with the id `notificationId`. Null if it was deleted.",
    )
    send_id: ID = strawberry.field(
        resolver=_send_id,
        description="The id of the send. For a digest or briefing, the send of its newest item. A digest is not "
        "counted in the counts of a send; its items are.",
    )
    user_id: ID = strawberry.field(description="The id of the recipient.")
    category: str = strawberry.field(
        description="The key of the category. Empty for a briefing, which carries several categories."
    )
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
    explanation: str = strawberry.field(
        resolver=delivery_facts.explanation,
        description="A sentence in English that explains the status and the reason, for support staff and developers.",
    )
    attempts: list[model.Attempt] = strawberry.field(
        graphql_type=list[Attempt], description="The calls to providers, oldest first."
    )
    provider: str | None = strawberry.field(
        resolver=delivery_facts.provider,
        description="The provider of the last attempt. Null if there was no attempt.",
    )
    last_error: str | None = strawberry.field(
        resolver=delivery_facts.last_error,
        description="The newest error of the attempts. Null if the last attempt succeeded. Visible to the `service` "
        "and `admin` roles; null for users.",
    )
    due_at: datetime | None = strawberry.field(
        resolver=_due_at, description="The time of the next attempt. Null if no attempt is scheduled."
    )
    released_at: datetime | None = strawberry.field(
        description="The time at which the delivery was released. Null if it was not HELD, or if it still is."
    )
    sent_at: datetime | None = strawberry.field(
        resolver=delivery_facts.sent_at,
        description="The time at which the provider accepted the message. Null if it did not. For a delivery that a "
        "digest carries, see the digest.",
    )
    delivered_at: datetime | None = strawberry.field(
        resolver=delivery_facts.delivered_at,
        description="The time at which the delivery was confirmed. Null if it was not, if the time is not stored, and "
        "for IN_APP, where a notification arrives at once.",
    )
    clicked_at: datetime | None = strawberry.field(
        description="The time of the first click on a link of the message. Null if there was none, and for IN_APP: see "
        "`Notification.readAt`."
    )
    trace_id: str | None = strawberry.field(
        resolver=delivery_facts.trace,
        description="The id of the trace of the send. Null if the send was not traced. Visible to the `service` and "
        "`admin` roles; null for users.",
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


@strawberry.type(description="A page of deliveries.")
class DeliveryConnection(Connection[Delivery]):
    count: strawberry.Private[Callable[[], Awaitable[int | None]]]

    @strawberry.field(
        description=f"The number of deliveries that the filter selects. Null if there are more than {COUNT_MAX:,}, or "
        "if counting them takes too long. To count all deliveries of a send, use `Send.counts`."
    )
    async def total_count(self) -> int | None:
        return await self.count()


@strawberry.type(description="The number of deliveries with one reason.")
class DeliveryReasonCount:
    reason: str = strawberry.field(
        description="The reason. NONE means that the deliveries wait for their next attempt."
    )
    count: int = strawberry.field(description="The number of deliveries.")


async def delivery_page(
    context: Context, tenant: str, selection: DeliverySelection, first: int | None, after: str | None
) -> DeliveryConnection:
    """Return a page of deliveries, newest first."""
    if after is not None and len(after) > CURSOR_MAX_CHARS:
        raise BadUserInput(INVALID_CURSOR, "after")
    services, reached = context.services, None
    size = valid_page_size(first, DEFAULT_PAGE_SIZE, services.settings)
    try:
        if selection.include_decided:
            rows, reached = await services.lookups.decided_deliveries.page(tenant, selection, size + 1, after)
        else:
            rows = await services.deliveries.page(tenant, selection, size + 1, after)
    except ValueError:
        raise BadUserInput(
            "`after` is a cursor of a list with another order. Pass a cursor that this filter returned.", "after"
        ) from None
    page = rows[:size]
    cursors = [cursor_of(selection, delivery) for delivery in page]
    end = reached if len(rows) <= size else None
    fields = page_fields(page, cursors, more=len(rows) > size or end is not None, after=after, end=end)
    counter = services.lookups.decided_deliveries if selection.include_decided else services.deliveries
    return DeliveryConnection(**fields, count=partial(counter.count, tenant, selection))


@strawberry.type
class DeliveryQuery:
    @strawberry.field(
        graphql_type=Delivery | None,
        description="Return a delivery of the tenant, or null if the delivery does not exist. Requires the `service` "
        "or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def delivery(self, info: Info, id: ID) -> model.Delivery | None:
        services, tenant = info.context.services, info.context.caller.tenant
        if stored := await services.deliveries.get(tenant, id):
            return stored
        notifications = await services.inboxes.get_notifications([id[:ID_CHARS]])
        virtual = [d for n in notifications.values() if n.tenant == tenant for d in virtual_deliveries(n)]
        return next((delivery for delivery in virtual if delivery.id == id), None)

    @strawberry.field(
        description="Return the deliveries to external providers, newest first. `includeDecided` of the filter adds "
        "IN_APP deliveries and deliveries on channels that were not used, which are also in `Notification.deliveries` "
        f"and are counted in `Send.counts`. A page with them is the result of examining up to {EXAMINED_MAX:,} "
        "notifications: it may contain fewer deliveries than `first`, or none, although `hasNextPage` is true. "
        "Requires the `service` or `admin` role.",
        directives=access(Caller.SERVICE, Scope.READ, staff=KeyRole.VIEWER),
    )
    async def deliveries(
        self,
        info: Info,
        filter: OptionalDeliveryFilter = None,
        first: First = DEFAULT_PAGE_SIZE,
        after: After = None,
    ) -> DeliveryConnection:
        tenant = info.context.caller.tenant
        return await delivery_page(info.context, tenant, to_delivery_selection(filter, tenant), first, after)
