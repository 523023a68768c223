"""What a subscription to an inbox reads: the events of a feed, as the API tells them."""

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
    """An async iterator that can be taken from without waiting, too. `leave` it when done."""

    __slots__ = ("_clock", "_feed", "_subscriptions", "trace")

    def __init__(self, feed: Feed, subscriptions: SubscriptionHub, clock: Clock) -> None:
        self._feed = feed
        self._subscriptions = subscriptions
        self._clock = clock
        self.trace: str | None = None
        """Of the event taken last: the `traceparent` of what caused it, where that is traced."""

    def __aiter__(self) -> "InboxStream":
        return self

    async def __anext__(self) -> InboxEvent:
        return self._told(await anext(self._feed))

    async def aclose(self) -> None:
        self.leave()

    def leave(self) -> None:
        self._subscriptions.unsubscribe(self._feed)

    def wake(self, wake: Callable[[], None]) -> None:
        """From now on `wake` is called whenever there is something to take, or nothing will come any more."""
        self._feed.on_ready(wake)

    def take(self) -> InboxEvent | None:
        event = self._feed.poll()
        return None if event is None else self._told(event)

    @property
    def ended(self) -> bool:
        return self._feed.ended

    def _told(self, event: model.InboxEvent) -> InboxEvent:
        self.trace = event.trace
        at = self._feed.known_at
        if at is None:
            at = int(self._clock().timestamp())
        return InboxEvent(
            kind=event.kind,
            cursor=Cursor(encode_position(Position(self._feed.epoch, event.modseq, at, event.within or ""))),
            notification=event.notification,
            unread=event.unread,
            unseen=event.unseen,
        )
