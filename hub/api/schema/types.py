"""What the API answers with.

Types whose fields are plain attributes are filled straight from the nouns of `hub.model`, which carry the same names;
`graphql_type` says so where it happens. Only what wraps them is built here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import strawberry
from strawberry import ID, Parent

from hub import model
from hub.api.context import Context, Info
from hub.api.schema.deliveries import Delivery, DeliveryEdge, DeliveryFilter, load_page, to_delivery_filter
from hub.api.schema.devices import Device
from hub.api.schema.inputs import InboxFilter, to_inbox_filter, valid_id_cursor, valid_page_size
from hub.api.schema.preferences import Preferences, user_preferences
from hub.api.schema.reader_language import PROJECTION, because_for_reader
from hub.api.schema.scalars import JSON, Cursor
from hub.audience.preferences import Matrix
from hub.errors import NotFound
from hub.inbox.cursors import decode_page_cursor, encode_page_cursor, encode_position
from hub.platform.translations import because
from hub.status.delivery_filter import DeliveryQuery, cursor_of
from hub.status.virtual_deliveries import virtual_deliveries
from hub.workflows.inbox_actions import Marked

C = TypeVar("C")

strawberry.enum(
    model.BecauseKind,
    description="Why somebody got a notification: named by the sender, as follower of a topic, as everyone, because "
    "`to.where` matched, or by a rule.",
)
strawberry.enum(model.SendStatus)
strawberry.enum(model.ReceiptKind)
strawberry.enum(
    model.InboxEventKind,
    description="ALL_* stand for everything in the ACTIVE view; REMOVED for recalled, replaced, resolved, expired or "
    "erased; after RESYNC the subscription completes: load the inbox and subscribe from its `position`.",
)


@strawberry.type(description="A button of a notification.")
class Action:
    key: str
    label: str
    url: str | None
    primary: bool


def _category_name(root: Parent[model.Notification]) -> str:
    return root.category_name or root.category


def _because(root: Parent[model.Notification], info: Info) -> Any:
    context = info.context
    if context.language and root.mailbox == context.caller.mailbox:
        return because(root, context.language)
    return _because_for_recipient(root, context)


async def _because_for_recipient(n: model.Notification, context: Context) -> str:
    return because(n, await context.language_of(n.mailbox))


async def _deliveries(root: Parent[model.Notification], info: Info) -> list[model.Delivery]:
    """Those that are read off the notification, and those that are documents."""
    outside = await info.context.external_deliveries(root.id) if root.has_deliveries else []
    return virtual_deliveries(root) + outside


@strawberry.type(description="One notification in one person's inbox.")
class Notification:
    id: ID
    user_id: ID
    category: str
    category_name: str = strawberry.field(
        resolver=_category_name, description="What its category was called when it was sent, for people to read."
    )
    title: str
    body: str
    data: JSON | None
    image_url: str | None
    action_url: str | None
    actions: list[Action]
    priority: model.Priority
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    snoozed_until: datetime | None
    acknowledged_at: datetime | None = strawberry.field(
        description="Set when the recipient confirmed a notification sent with `requireAck`."
    )
    require_ack: bool
    added_modseq: int = strawberry.field(
        name="sortKey",
        description="The position in the inbox, which lists the highest first. A notification that comes back from a "
        "snooze gets a new one. A feed brings changes in the order in which they were made, which differs: store "
        "notifications by `id` and sort them by this.",
    )
    because: str = strawberry.field(
        resolver=_because,
        graphql_type=str,
        metadata={PROJECTION: because_for_reader},
        description="Why the recipient got it, in a sentence they understand: named by the sender, follows a topic, "
        "everyone, a rule. A user reads it in their own language, service and admin in that of the recipient.",
    )
    because_kind: model.BecauseKind = strawberry.field(
        description="The same for programs. `because` is made from it when it is read, in the reader's language."
    )
    because_of: str | None = strawberry.field(description="Key of the topic or of the rule; null otherwise.")

    deliveries: list[model.Delivery] = strawberry.field(
        resolver=_deliveries,
        graphql_type=list[Delivery],
        description="One per channel and address; channels that were decided against are there too, SKIPPED, with the "
        "reason.",
    )


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None

    @classmethod
    def of(cls, cursors: list[str], *, more: bool, after: str | None) -> "PageInfo":
        return cls(
            has_next_page=more,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )


def connection(
    kind: Callable[..., C], edge: Callable[..., Any], found: Sequence[Any], size: int, after: str | None
) -> C:
    """One page of a list whose cursors are ids: `size` of `found`, which holds one more where there is more."""
    edges = [edge(cursor=node.id, node=node) for node in found[:size]]
    page_info = PageInfo.of([edge.cursor for edge in edges], more=len(found) > size, after=after)
    return kind(edges=edges, nodes=found[:size], page_info=page_info)


@strawberry.type
class NotificationEdge:
    cursor: str
    node: model.Notification = strawberry.field(graphql_type=Notification)


@strawberry.type
class NotificationConnection:
    edges: list[NotificationEdge]
    nodes: list[model.Notification] = strawberry.field(graphql_type=list[Notification])
    page_info: PageInfo
    unread: int = strawberry.field(
        description="Of the whole inbox, whatever the filter: not read, archived, snoozed, removed or hidden."
    )
    unseen: int = strawberry.field(description="Likewise, not seen. Reading implies seeing.")
    position: Cursor = strawberry.field(
        description="The feed position this page reflects: subscribe with `inbox(after:)` from here and nothing is "
        "missed or doubled."
    )


@strawberry.type
class SendNotificationConnection:
    edges: list[NotificationEdge]
    nodes: list[model.Notification] = strawberry.field(graphql_type=list[Notification])
    page_info: PageInfo


async def inbox_page(
    context: Context,
    mailbox: str,
    filter: InboxFilter | None,
    first: int | None,
    after: str | None,
) -> NotificationConnection:
    """A page of a mailbox, with its counts and its feed position."""
    services = context.services
    wanted = to_inbox_filter(filter)
    size = valid_page_size(first, 20, services.settings)
    below = decode_page_cursor(after, "after") if after is not None else None
    page = await services.inboxes.get_page(mailbox, wanted, size, below)
    if page is None:
        await services.inbox_actions.get_or_create_mailbox(mailbox)
        page = await services.inboxes.get_page(mailbox, wanted, size, below)
    if page is None:
        raise NotFound("There is no such inbox.")
    edges = [NotificationEdge(cursor=encode_page_cursor(n.added_modseq), node=n) for n in page.notifications]
    return NotificationConnection(
        edges=edges,
        nodes=page.notifications,
        page_info=PageInfo.of([edge.cursor for edge in edges], more=page.more, after=after),
        unread=page.head.unread,
        unseen=page.head.unseen,
        position=Cursor(encode_position(page.position)),
    )


def _user_id(root: Parent[model.User]) -> ID:
    return ID(root.user_id)


async def _inbox(
    root: Parent[model.User],
    info: Info,
    filter: InboxFilter | None = None,
    first: int | None = 20,
    after: str | None = None,
) -> NotificationConnection:
    with info.context.reading():
        return await inbox_page(info.context, root.id, filter, first, after)


@strawberry.type(description="A person of the tenant.")
class User:
    id: ID = strawberry.field(resolver=_user_id)
    created_at: datetime
    updated_at: datetime
    email: str | None
    phone: str | None
    locale: str
    timezone: str
    attributes: JSON | None
    devices: list[model.Device] = strawberry.field(graphql_type=list[Device])
    preferences: Matrix = strawberry.field(resolver=user_preferences, graphql_type=Preferences)
    inbox: NotificationConnection = strawberry.field(resolver=_inbox, description="The person's inbox, newest first.")


@strawberry.type(
    description="`notifications`: what changed, at most 100; `changed`: how many in all; the counts and the feed "
    "position after it."
)
class InboxPayload:
    notifications: list[model.Notification] = strawberry.field(graphql_type=list[Notification])
    changed: int
    unread: int
    unseen: int
    position: Cursor

    @classmethod
    def of(cls, marked: Marked, position: model.Position) -> "InboxPayload":
        return cls(
            notifications=marked.notifications,
            changed=marked.changed,
            unread=marked.head.unread,
            unseen=marked.head.unseen,
            position=Cursor(encode_position(position)),
        )


@strawberry.type(
    description="One change of one inbox. Changes come in order; `cursor` names the position after this change."
)
class InboxEvent:
    kind: model.InboxEventKind
    cursor: Cursor
    notification: model.Notification | None = strawberry.field(
        graphql_type=Notification | None,
        description="As it stands after the change; null for ALL_READ, ALL_SEEN, ALL_ARCHIVED and RESYNC.",
    )
    unread: int
    unseen: int


@strawberry.type
class DeliveryConnection:
    edges: list[DeliveryEdge]
    nodes: list[model.Delivery] = strawberry.field(graphql_type=list[Delivery])
    page_info: PageInfo


async def delivery_page(
    context: Context, tenant: str, asked: DeliveryQuery, first: int | None, after: str | None
) -> DeliveryConnection:
    """Deliveries that leave the hub, newest first."""
    found, more = await load_page(context, tenant, asked, first, after)
    return DeliveryConnection(
        edges=[DeliveryEdge(cursor=cursor_of(asked, delivery), node=delivery) for delivery in found],
        nodes=found,
        page_info=PageInfo.of([cursor_of(asked, delivery) for delivery in found], more=more, after=after),
    )


@strawberry.type
class ReasonCount:
    reason: str
    count: int


@strawberry.type(description="How many deliveries of a send stand in which state on which channel.")
class StatusCount:
    channel: model.Channel
    status: model.DeliveryStatus
    count: int
    reasons: list[ReasonCount] = strawberry.field(description="Those that stand so for a reason, the most first.")


async def _counts(root: Parent[model.Send], info: Info) -> list[StatusCount]:
    found: defaultdict[tuple[model.Channel, model.DeliveryStatus], Counter[str | None]] = defaultdict(Counter)
    for (channel, status, reason), count in (await info.context.send_counts(root.id)).items():
        found[channel, status][reason] += count
    return [
        StatusCount(
            channel=channel,
            status=status,
            count=reasons.total(),
            reasons=[
                ReasonCount(reason=reason, count=reasons[reason])
                for reason in sorted(filter(None, reasons), key=lambda reason: (-reasons[reason], reason))
            ],
        )
        for (channel, status), reasons in sorted(found.items(), key=lambda row: row[0])
    ]


async def _send_deliveries(
    root: Parent[model.Send],
    info: Info,
    filter: DeliveryFilter | None = None,
    first: int | None = 50,
    after: str | None = None,
) -> "DeliveryConnection":
    asked = to_delivery_filter(filter, root.tenant, send=root.id)
    with info.context.reading():
        return await delivery_page(info.context, root.tenant, asked, first, after)


async def _send_notifications(
    root: Parent[model.Send], info: Info, first: int | None = 20, after: str | None = None, hidden: bool | None = False
) -> SendNotificationConnection:
    services = info.context.services
    size = valid_page_size(first, 20, services.settings)
    with info.context.reading():
        found = await services.sends.notifications(root, size + 1, valid_id_cursor(after), hidden=bool(hidden))
    return connection(SendNotificationConnection, NotificationEdge, found, size, after)


@strawberry.type(description="One call of `send`.")
class Send:
    id: ID
    category: str
    status: model.SendStatus
    created_at: datetime
    recipients: int

    counts: list[StatusCount] = strawberry.field(resolver=_counts)
    notifications: SendNotificationConnection = strawberry.field(
        resolver=_send_notifications,
        description="What it put into inboxes, in the order it was made; what was removed is there too. With "
        "`hidden` also what no inbox shows, because IN_APP was not asked for or was decided against.",
    )
    deliveries: DeliveryConnection = strawberry.field(
        resolver=_send_deliveries,
        description="What of it leaves the hub, newest first. IN_APP and what was decided against stand at each "
        "notification: `notifications(hidden: true) { nodes { deliveries { channel status reason } } }`.",
    )


@strawberry.type
class SendEdge:
    cursor: str
    node: model.Send = strawberry.field(graphql_type=Send)


@strawberry.type
class SendConnection:
    edges: list[SendEdge]
    nodes: list[model.Send] = strawberry.field(graphql_type=list[Send])
    page_info: PageInfo


@strawberry.type(
    description="`duplicate`: this idempotency key was seen before with the same input, and nothing was sent again."
)
class SendPayload:
    send: model.Send = strawberry.field(graphql_type=Send)
    duplicate: bool


@strawberry.type(
    description="What a recipient or a channel did with something that was sent. At least once: drop known ids."
)
class Receipt:
    id: ID
    cursor: Cursor
    kind: model.ReceiptKind
    at: datetime
    send_id: ID
    notification_id: ID
    user_id: ID
    channel: model.Channel | None
    status: model.DeliveryStatus | None
    reason: str | None
