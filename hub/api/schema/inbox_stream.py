"""The subscription to an inbox. It yields the events of the change feed as GraphQL objects."""

from collections.abc import AsyncIterator
from typing import Annotated

import strawberry

from hub import model
from hub.api.context import Info
from hub.api.schema.access import Caller, access
from hub.api.schema.notifications import Notification
from hub.api.schema.scalars import Cursor
from hub.errors import NotFound
from hub.inbox.cursors import decode_position, encode_position
from hub.live.subscription_feed import Feed, Reader
from hub.live.subscriptions import SubscriptionHub
from hub.model import Position
from hub.utc_time import Clock


@strawberry.type(description="A change to an inbox. Changes arrive in order.")
class InboxEvent:
    kind: model.InboxEventKind
    cursor: Cursor = strawberry.field(
        description="The position in the change feed after this change. Store the latest cursor and pass it as "
        "`after` to resume."
    )
    notification: model.Notification | None = strawberry.field(
        graphql_type=Notification | None,
        description="The notification after the change. Null for ALL_READ, ALL_SEEN, ALL_ARCHIVED, and RESYNC.",
    )
    unread: int = strawberry.field(description="The unread count of the inbox after the change.")
    unseen: int = strawberry.field(description="The unseen count of the inbox after the change.")


class InboxStream:
    """An async iterator that can also be polled without waiting. Call `close` after use."""

    __slots__ = ("_clock", "_feed", "_subscriptions", "traceparent")

    def __init__(self, feed: Feed, subscriptions: SubscriptionHub, clock: Clock) -> None:
        self._feed = feed
        self._subscriptions = subscriptions
        self._clock = clock
        self.traceparent: str | None = None
        """The `traceparent` of the operation that caused the last event, or None if that operation is not traced."""

    def __aiter__(self) -> "InboxStream":
        return self

    async def __anext__(self) -> InboxEvent:
        return self._to_event(await anext(self._feed))

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._subscriptions.unsubscribe(self._feed)

    def set_reader(self, reader: Reader) -> None:
        """Pass all events to `reader`, which calls `poll`."""
        self._feed.set_reader(reader)

    def poll(self) -> InboxEvent | None:
        """Return the next event, or None if no event is ready."""
        event = self._feed.poll()
        return None if event is None else self._to_event(event)

    @property
    def ended(self) -> bool:
        return self._feed.ended

    def now_s(self) -> int:
        """Return the Unix time in seconds, for a cursor."""
        return int(self._clock().timestamp())

    def _to_event(self, event: model.InboxEvent) -> InboxEvent:
        self.traceparent = event.traceparent
        at = self._feed.known_at
        if at is None:
            at = self.now_s()
        return InboxEvent(
            kind=event.kind,
            cursor=Cursor(encode_position(Position(self._feed.epoch, event.modseq, at, event.up_to_id or ""))),
            notification=event.notification,
            unread=event.unread,
            unseen=event.unseen,
        )


@strawberry.type
class InboxSubscription:
    @strawberry.subscription(
        description="Subscribe to changes to the caller's inbox. With `after`, the subscription first returns each "
        "notification that changed since that position, once and in its latest state.",
        directives=access(Caller.USER),
    )
    async def inbox(
        self,
        info: Info,
        after: Annotated[
            Cursor | None,
            strawberry.argument(
                description="The `position` of a page, or the `cursor` of the last event. With null, only changes "
                "from now on are returned."
            ),
        ] = None,
    ) -> AsyncIterator[InboxEvent]:
        context = info.context
        services = context.services
        position = decode_position(after, "after") if after is not None else None
        try:
            feed = await services.subscriptions.subscribe(context.mailbox, position)
        except NotFound:
            await services.inbox_actions.create_mailbox(context.mailbox)
            feed = await services.subscriptions.subscribe(context.mailbox, position)
        return InboxStream(feed, services.subscriptions, services.clock)
