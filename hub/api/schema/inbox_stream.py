"""The source of an inbox subscription: events of a feed, as GraphQL objects."""

from collections.abc import Callable

from hub import model
from hub.api.schema.scalars import Cursor
from hub.api.schema.types import InboxEvent
from hub.clock import Clock
from hub.inbox.cursors import encode_position
from hub.live.feed import Feed
from hub.live.subscriptions import SubscriptionHub
from hub.model import Position


class InboxStream:
    """An async iterator that can also be polled without waiting. Call `close` when done."""

    __slots__ = ("_clock", "_feed", "_subscriptions", "traceparent")

    def __init__(self, feed: Feed, subscriptions: SubscriptionHub, clock: Clock) -> None:
        self._feed = feed
        self._subscriptions = subscriptions
        self._clock = clock
        self.traceparent: str | None = None
        """The `traceparent` of the cause of the last event, if it is traced."""

    def __aiter__(self) -> "InboxStream":
        return self

    async def __anext__(self) -> InboxEvent:
        return self._to_event(await anext(self._feed))

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._subscriptions.unsubscribe(self._feed)

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever an event is ready or the stream has ended."""
        self._feed.on_ready(wake)

    def poll(self) -> InboxEvent | None:
        event = self._feed.poll()
        return None if event is None else self._to_event(event)

    @property
    def ended(self) -> bool:
        return self._feed.ended

    def _to_event(self, event: model.InboxEvent) -> InboxEvent:
        self.traceparent = event.traceparent
        at = self._feed.known_at
        if at is None:
            at = int(self._clock().timestamp())
        return InboxEvent(
            kind=event.kind,
            cursor=Cursor(encode_position(Position(self._feed.epoch, event.modseq, at, event.up_to_id or ""))),
            notification=event.notification,
            unread=event.unread,
            unseen=event.unseen,
        )
