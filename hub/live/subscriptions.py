"""Who listens here, and that nobody misses anything.

A room is the open subscriptions of one mailbox in this process; each subscription is a `Feed` with its own position.

What it guarantees: a feed yields every change after the position it started from, in the order of their numbers, none
twice; or it ends with RESYNC.

- Joining: the feed first listens and buffers, then reads the backlog from the store, then lets the buffer through.
- A message whose `first` is not the number after a feed's position is a gap. The mailbox is then looked at: the
  backlog is read from the store, and what it tells takes the place of what was missed.
- Every open mailbox is looked at from time to time, and often while the link is away, because then nothing tells.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import structlog
from msgspec import UNSET, MsgspecError
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.errors import NotFound, Unavailable
from hub.live import message_codec
from hub.live.publisher import common_channel, user_channel
from hub.live.pubsub import PubSubConnection
from hub.model import Backlog, InboxEvent, InboxEventKind, Mailbox, MailboxChange, Position
from hub.platform import metrics

RECONCILE_INTERVAL_S = 30.0  # every open mailbox is compared with the store this often
RECONCILE_INTERVAL_DISCONNECTED_S = 1.5  # and this often while the link is away
MAILBOXES_PER_QUERY = 1000
CATCH_UP_TASKS = 8
RETRY_DELAY_S = 0.5
CONCURRENT_BACKLOGS = (
    16  # backlogs read at once: more would only wait for MongoDB's connections, and others behind them
)
BACKLOG_SLOT_TIMEOUT_S = 30.0  # for a turn; clients give up at about that, too

log = structlog.get_logger(__name__)


class Store(Protocol):
    """What is read of the inbox."""

    async def get_mailboxes(self, mailboxes: Sequence[str]) -> list[Mailbox]: ...
    async def peek_backlog(self, mailbox: str, after: Position | None) -> Backlog | None: ...
    async def backlog(self, mailbox: str, after: Position | None) -> Backlog | None: ...


class Feed:
    """Events in order, ending after a RESYNC or when it is closed.

    Whoever reads it either waits for them (`async for`), or is woken when there are some (`wake`) and takes them
    (`take`), which needs no task.
    """

    __slots__ = (
        *("_backlog", "_bytes", "_bytes_max", "_ended", "_available", "_buffered"),
        *("_backlog_since", "_on_ready", "_queue", "_queue_max"),
        *("epoch", "known_at", "mailbox", "position"),
    )

    def __init__(self, mailbox: str, queue_max: int, bytes_max: int) -> None:
        self.mailbox = mailbox
        self.epoch = ""
        self.position = -1
        self.known_at: int | None = None
        """Of the event taken last: when all up to it was known to the client, where that is not now. Seconds."""
        self._backlog = 0
        self._backlog_since = 0
        self._queue_max = queue_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._queue: deque[InboxEvent] = deque()
        self._available: asyncio.Event | None = None
        self._on_ready: Callable[[], None] | None = None
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
        return self._pop()

    def on_ready(self, callback: Callable[[], None]) -> None:
        """From now on `wake` is called, at once, whenever there is something to take or the feed has ended. It takes
        what it can, and does not raise."""
        self._on_ready = callback
        if self._queue or self._ended:
            callback()

    def poll(self) -> InboxEvent | None:
        """The next event, if there is one."""
        return self._pop() if self._queue else None

    @property
    def waiting(self) -> int:
        """Events not taken yet."""
        return len(self._queue)

    @property
    def ended(self) -> bool:
        """Nothing will come any more."""
        return self._ended and not self._queue

    @property
    def live(self) -> bool:
        """Past its backlog and not ended."""
        return self._buffered is None and not self._ended

    def start(self, backlog: Backlog, since: int) -> bool:
        """Begins with what the store knows; answers whether what was buffered meanwhile follows without a gap.

        `since` is the time of the position that the backlog follows: a client that is cut off within it knows nothing
        newer than that, whatever the clock says by then."""
        buffered, self._buffered = self._buffered or [], None
        whole, self._bytes = not self._is_full(len(buffered)), 0
        self.epoch = backlog.head.epoch
        self.position = backlog.head.modseq
        if backlog.events is UNSET:
            self.resync(backlog.head)
            return True
        self._queue.extend(backlog.events)
        self._backlog, self._backlog_since = len(backlog.events), since
        if self._queue:
            self._notify()
        return all(self.offer(changed) for changed in buffered) and whole

    def offer(self, changed: MailboxChange) -> bool:
        """Takes a live change; answers False if something before it is missing."""
        if self._ended:
            return True
        if self._buffered is not None:
            if not self._is_full(len(self._buffered)):
                self._buffered.append(changed)
                self._bytes += sum(map(_size, changed.events))
            return True
        if changed.epoch != self.epoch:
            return False
        if changed.last <= self.position:
            return True
        if changed.events[0].kind is InboxEventKind.RESYNC:
            self._end_with(changed.events[0])
            return True
        if changed.first > self.position + 1:
            return False
        self._push(changed.events, changed.last)
        return True

    def catch_up(self, backlog: Backlog) -> None:
        """Takes what the store says in the place of what was missed. The backlog may begin before this feed's
        position."""
        head = backlog.head
        if head.epoch != self.epoch:
            self.resync(head)
        elif head.modseq > self.position:
            if backlog.events is UNSET:
                self.resync(head)
            else:
                self._push([self._relative_to_position(event) for event in backlog.events], head.modseq)

    def resync(self, head: Mailbox) -> None:
        self._end_with(
            InboxEvent(kind=InboxEventKind.RESYNC, modseq=head.modseq, unread=head.unread, unseen=head.unseen)
        )

    def close(self) -> None:
        self._ended = True
        self._notify()

    def _push(self, events: Sequence[InboxEvent], last: int) -> None:
        """A client that still has a full queue when more comes does not keep up. Its backlog it asked for: only what
        comes on top tells that it does not read."""
        if self._is_full(len(self._queue) - self._backlog):
            newest = events[-1] if events else self._queue[-1]
            self._end_with(
                InboxEvent(kind=InboxEventKind.RESYNC, modseq=last, unread=newest.unread, unseen=newest.unseen)
            )
            return
        for event in events:
            if event.modseq > self.position:
                self._queue.append(event)
                self._bytes += _size(event)
        self.position = last
        self._notify()

    def _is_full(self, waiting: int) -> bool:
        return waiting >= self._queue_max or self._bytes >= self._bytes_max

    def _pop(self) -> InboxEvent:
        event = self._queue.popleft()
        if self._backlog:
            self._backlog -= 1
        else:
            self._bytes -= _size(event)
        self.known_at = self._backlog_since if self._backlog else None
        return event

    def _relative_to_position(self, event: InboxEvent) -> InboxEvent:
        """What was added before this feed's position is no news to it."""
        n = event.notification
        if event.kind is InboxEventKind.ADDED and n and n.added_modseq <= self.position:
            return replace(event, kind=InboxEventKind.UPDATED)
        return event

    def _notify(self) -> None:
        if self._available is not None:
            self._available.set()
        if self._on_ready is not None:
            self._on_ready()

    def _end_with(self, event: InboxEvent) -> None:
        if not self._ended:
            metrics.resyncs.inc()
            self._queue.clear()
            self._queue.append(event)
            self._backlog = self._bytes = 0
            self.close()


def _size(event: InboxEvent) -> int:
    """Bytes of memory that an event holds on to, of what can be large."""
    n = event.notification
    return sys.getsizeof(n.body) + sys.getsizeof(n.data) if n else 0


class SubscriptionHub:
    """All rooms of this process. `link` makes its link, which reports to `receive` and `look`."""

    def __init__(
        self,
        store: Store,
        connect: Callable[["SubscriptionHub"], PubSubConnection],
        prefix: str,
        *,
        queue_max: int,
        bytes_max: int,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._queue_max = queue_max
        self._bytes_max = bytes_max
        self._mailbox_feeds: dict[str, set[Feed]] = {}
        self._behind: set[str] = set()
        self._has_behind = asyncio.Event()
        self._reconcile_now = asyncio.Event()
        self._backlog_slots = asyncio.Semaphore(CONCURRENT_BACKLOGS)
        self._common_channel = common_channel(prefix)
        self._user_channel_prefix = user_channel(prefix, "")
        self.pubsub = connect(self)
        self.pubsub.subscribe(self._common_channel)

    async def subscribe(self, mailbox: str, after: Position | None) -> Feed:
        """A feed of everything since `after`, or from now on. NotFound where there is no such mailbox."""
        feed = Feed(mailbox, self._queue_max, self._bytes_max)
        if mailbox not in self._mailbox_feeds:
            self._mailbox_feeds[mailbox] = set()
            self.pubsub.subscribe(user_channel(self._prefix, mailbox))
        self._mailbox_feeds[mailbox].add(feed)
        metrics.feeds.inc()
        generation = self.pubsub.generation
        try:
            await self.pubsub.wait_subscribed(user_channel(self._prefix, mailbox))
            backlog = await self._store.peek_backlog(mailbox, after) or await self._read_backlog(mailbox, after)
        except BaseException:
            self.unsubscribe(feed)
            raise
        if not feed.start(backlog, after.time if after else 0) or generation != self.pubsub.generation:
            self._mark_behind(mailbox)
        return feed

    async def _read_backlog(self, mailbox: str, after: Position | None) -> Backlog:
        """In the order in which they asked."""
        try:
            async with asyncio.timeout(BACKLOG_SLOT_TIMEOUT_S):
                await self._backlog_slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many subscriptions open at once: try again shortly.") from None
        try:
            backlog = await self._store.backlog(mailbox, after)
        finally:
            self._backlog_slots.release()
        if backlog is None:
            raise NotFound("There is no such inbox.")
        return backlog

    def unsubscribe(self, feed: Feed) -> None:
        """The feed is not told anything any more."""
        feed.close()
        feeds = self._mailbox_feeds.get(feed.mailbox)
        if feeds is None or feed not in feeds:
            return
        feeds.remove(feed)
        metrics.feeds.dec()
        if not feeds:
            del self._mailbox_feeds[feed.mailbox]
            self.pubsub.unsubscribe(user_channel(self._prefix, feed.mailbox))

    @property
    def mailbox_count(self) -> int:
        """How many have a room."""
        return len(self._mailbox_feeds)

    def queue_lengths(self) -> Iterator[int]:
        """Of each feed, how many events wait in it."""
        return (feed.waiting for room in self._mailbox_feeds.values() for feed in room)

    def on_message(self, channel: str, data: bytes) -> None:
        """A message of the link."""
        try:
            if channel != self._common_channel:
                self._deliver(message_codec.decode_changed(data))
                return
            message = message_codec.decode_common(data)
        except (MsgspecError, ValueError, IndexError) as error:  # of another version: the store has it too
            metrics.unreadable.labels("live").inc()
            log.warning("live_message_not_understood", seldom=True, error=error)
            if channel == self._common_channel:
                self.reconcile()
            else:
                self._mark_behind(channel.removeprefix(self._user_channel_prefix))
            return
        if isinstance(message, message_codec.Reconcile):
            self.reconcile()
            return
        for row in message.rows:
            if row.mailbox in self._mailbox_feeds:
                self._deliver(message.changed(row))

    def reconcile(self) -> None:
        """Compare every open mailbox with the store, soon."""
        self._reconcile_now.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pubsub.run())
            group.create_task(self._run_reconcile())
            for _ in range(CATCH_UP_TASKS):
                group.create_task(self._run_catch_up())

    def _deliver(self, changed: MailboxChange) -> None:
        for feed in tuple(self._mailbox_feeds.get(changed.mailbox, ())):
            if not feed.offer(changed):
                self._mark_behind(changed.mailbox)

    def _mark_behind(self, mailbox: str) -> None:
        metrics.gaps.inc()
        self._behind.add(mailbox)
        self._has_behind.set()

    async def _run_reconcile(self) -> None:
        while True:
            try:
                async with asyncio.timeout(
                    RECONCILE_INTERVAL_DISCONNECTED_S if self.pubsub.disconnected else RECONCILE_INTERVAL_S
                ):
                    await self._reconcile_now.wait()
            except TimeoutError:
                pass
            self._reconcile_now.clear()
            await _retry_until_ok(self._reconcile)

    async def _reconcile(self) -> None:
        mailboxes = list(self._mailbox_feeds)
        for start in range(0, len(mailboxes), MAILBOXES_PER_QUERY):
            batch = mailboxes[start : start + MAILBOXES_PER_QUERY]
            heads = {head.id: head for head in await self._store.get_mailboxes(batch)}
            for mailbox in batch:
                head = heads.get(mailbox)  # None: it was erased
                if any(
                    feed.live and (head is None or feed.position < head.modseq or feed.epoch != head.epoch)
                    for feed in self._mailbox_feeds.get(mailbox, ())
                ):
                    self._mark_behind(mailbox)

    async def _run_catch_up(self) -> None:
        while True:
            while not self._behind:
                self._has_behind.clear()
                await self._has_behind.wait()
            await _retry_until_ok(self._catch_up, self._behind.pop())

    async def _catch_up(self, mailbox: str) -> None:
        feeds = [feed for feed in self._mailbox_feeds.get(mailbox, ()) if feed.live]
        if not feeds:
            return
        behind = min(feeds, key=lambda feed: feed.position)
        try:
            backlog = await self._store.backlog(mailbox, self._position(behind))
        except PyMongoError:
            raise
        except Exception:
            log.exception("backlog_broke", mailbox=mailbox)  # whoever loads the inbox anew is told by an error
            backlog = Backlog(Mailbox(id=mailbox, epoch=""), UNSET)
        for feed in feeds:
            if feed.live:
                feed.catch_up(backlog or Backlog(Mailbox(id=mailbox, epoch=""), []))

    @staticmethod
    def _position(feed: Feed) -> Position:
        """The position of a feed that is open: never too old."""
        return Position(feed.epoch, feed.position, FAR_FUTURE)


FAR_FUTURE = 1 << 40


async def _retry_until_ok(work: Callable[..., Awaitable[None]], *args: str) -> None:
    """Tries until the store answers: a feed that is behind stays behind otherwise. What is wrong in another way is
    logged and left: it must not take the process down."""
    while True:
        try:
            return await work(*args)
        except PyMongoError as error:
            log.warning("look_failed", error=error)
            await asyncio.sleep(RETRY_DELAY_S)
        except Exception:
            log.exception("look_broke", of=args)
            return None
