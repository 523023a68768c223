"""The bounded event queue of one subscription.

Guarantee: a feed yields every change after its start position, once and in the order of `modseq`, or it ends with
RESYNC. `SubscriptionHub` puts the changes into the feed.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from hub.live.message_codec import Broadcast, BroadcastRow
from hub.model import Backlog, InboxEvent, InboxEventKind, Mailbox, MailboxChange
from hub.platform import metrics

QUEUE_MAX_EVENTS = 256  # for a client that reads slowly. Above this, it receives RESYNC.
QUEUE_MAX_BYTES = 1 << 20


class SharedBroadcast:
    """A broadcast while it is delivered. Readers keep in `encoders` what they compute once for all rows."""

    __slots__ = ("broadcast", "encoders")

    def __init__(self, broadcast: Broadcast) -> None:
        self.broadcast = broadcast
        self.encoders: dict[Any, Any] = {}


class Reader(Protocol):
    """A reader that requires no task. The methods must not raise."""

    def on_ready(self) -> None:
        """Call `poll` of the feed until no event is left, because an event is available or the feed has ended."""

    def write_row(self, shared: SharedBroadcast, row: BroadcastRow) -> bool:
        """Write the event of a row immediately. Return False if nothing was written. The event is then queued."""


class Feed:
    """The events of one mailbox, in order. A feed ends after a RESYNC event or when it is closed.

    A consumer iterates over the feed (`async for`), or sets a `Reader`.
    """

    __slots__ = (
        *("_available", "_backlog", "_backlog_since", "_buffered", "_bytes"),
        *("_ended", "_queue", "_reader"),
        *("epoch", "known_at", "mailbox", "position"),
    )

    def __init__(self, mailbox: str) -> None:
        self.mailbox = mailbox
        self.epoch = ""
        self.position = -1
        self.known_at: int | None = None
        """The Unix time in seconds up to which the client has all changes, set while the last event that was taken is
        part of the backlog. None means the current time."""
        self._backlog = 0
        self._backlog_since = 0
        self._bytes = 0
        self._queue: deque[InboxEvent] | None = None  # an empty deque has 760 bytes
        self._available: asyncio.Event | None = None
        self._reader: Reader | None = None
        self._buffered: list[MailboxChange] | None = []
        self._ended = False

    def __aiter__(self) -> AsyncIterator[InboxEvent]:
        return self

    async def __anext__(self) -> InboxEvent:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._available = self._available or asyncio.Event()
            self._available.clear()
            await self._available.wait()
        return self._pop(self._queue)

    def set_reader(self, reader: Reader) -> None:
        """Pass all events to `reader`. If the feed has events or has ended, `reader.on_ready` is called immediately."""
        self._reader = reader
        if self._queue or self._ended:
            reader.on_ready()

    def poll(self) -> InboxEvent | None:
        """Return the next event, or None if no event is available."""
        return self._pop(self._queue) if self._queue else None

    @property
    def waiting(self) -> int:
        """The number of events that were not taken yet."""
        return len(self._queue or ())

    @property
    def ended(self) -> bool:
        """True if the feed is closed and all its events were taken."""
        return self._ended and not self._queue

    @property
    def live(self) -> bool:
        """True if the backlog was added to the feed and the feed has not ended."""
        return self._buffered is None and not self._ended

    def start(self, backlog: Backlog, since: int) -> bool:
        """Queue the backlog and then the buffered changes. Return False if a change between the two is missing.

        `since` is the time of the position before the backlog. A client that disconnects before it has read the whole
        backlog resumes with that time instead of the current time."""
        buffered, self._buffered = self._buffered or [], None
        buffer_complete, self._bytes = not self._is_full(len(buffered)), 0
        self.epoch = backlog.head.epoch
        self.position = backlog.head.modseq
        if backlog.events is UNSET:
            self.resync(backlog.head)
            return True
        self._add(backlog.events)
        self._backlog, self._backlog_since = len(backlog.events), since
        if self._queue:
            self._notify()
        return all(self.offer(change) for change in buffered) and buffer_complete

    def offer(self, change: MailboxChange) -> bool:
        """Queue a live change. Return False if a previous change is missing."""
        if self._ended:
            return True
        if self._buffered is not None:
            if not self._is_full(len(self._buffered)):
                self._buffered.append(change)
                self._bytes += sum(map(_size, change.events))
            return True
        if change.epoch != self.epoch:
            return False
        if change.last <= self.position:
            return True
        if change.events[0].kind is InboxEventKind.RESYNC:
            self._end_with(change.events[0])
            return True
        if change.first > self.position + 1:
            return False
        self._push(change.events, change.last)
        return True

    def offer_row(self, shared: SharedBroadcast, row: BroadcastRow) -> bool:
        """Do the same as `offer` with the change of a row of a broadcast. The change is not created if the reader
        writes the row."""
        if (
            self._reader is not None
            and row.modseq == self.position + 1
            and row.epoch == self.epoch
            and not self._queue
            and self._buffered is None
            and not self._ended
            and self._reader.write_row(shared, row)
        ):
            self.position = row.modseq
            return True
        return self.offer(shared.broadcast.change_of(row))

    def catch_up(self, backlog: Backlog) -> None:
        """Queue missed changes that were read from the store. The backlog may start before this feed's position."""
        head = backlog.head
        if head.epoch != self.epoch:
            self.resync(head)
        elif head.modseq > self.position:
            if backlog.events is UNSET:
                self.resync(head)
            else:
                self._push([self._relative_to_position(event) for event in backlog.events], head.modseq)

    def resync(self, head: Mailbox) -> None:
        """End the feed with a RESYNC event."""
        self._end_with(
            InboxEvent(kind=InboxEventKind.RESYNC, modseq=head.modseq, unread=head.unread, unseen=head.unseen)
        )

    def close(self) -> None:
        self._ended = True
        self._notify()

    def _push(self, events: Sequence[InboxEvent], last: int) -> None:
        """Queue events, or end the feed with RESYNC if the queue is full because the client is too slow.

        Events of the backlog do not count toward the limit, because the client requested them."""
        if self._is_full(self.waiting - self._backlog):
            newest = [*(self._queue or ()), *events][-1]
            self._end_with(
                InboxEvent(kind=InboxEventKind.RESYNC, modseq=last, unread=newest.unread, unseen=newest.unseen)
            )
            return
        new = [event for event in events if event.modseq > self.position]
        self._add(new)
        self._bytes += sum(map(_size, new))
        self.position = last
        self._notify()

    def _is_full(self, waiting: int) -> bool:
        return waiting >= QUEUE_MAX_EVENTS or self._bytes >= QUEUE_MAX_BYTES

    def _add(self, events: Sequence[InboxEvent]) -> None:
        if events:
            self._queue = self._queue or deque()
            self._queue.extend(events)

    def _pop(self, queue: deque[InboxEvent]) -> InboxEvent:
        event = queue.popleft()
        if not queue:
            self._queue = None
        if self._backlog:
            self._backlog -= 1
        else:
            self._bytes -= _size(event)
        self.known_at = self._backlog_since if self._backlog else None
        return event

    def _relative_to_position(self, event: InboxEvent) -> InboxEvent:
        """Return the event, with ADDED replaced by UPDATED if the client already has the notification."""
        n = event.notification
        if event.kind is InboxEventKind.ADDED and n and n.added_modseq <= self.position:
            return replace(event, kind=InboxEventKind.UPDATED)
        return event

    def _notify(self) -> None:
        if self._available is not None:
            self._available.set()
        if self._reader is not None:
            self._reader.on_ready()

    def _end_with(self, event: InboxEvent) -> None:
        if not self._ended:
            metrics.resyncs.inc()
            self._queue = deque([event])
            self._backlog = self._bytes = 0
            self.close()


def _size(event: InboxEvent) -> int:
    """Return the size in bytes of the parts of an event that can be large."""
    n = event.notification
    return sys.getsizeof(n.body) + sys.getsizeof(n.data) if n else 0
