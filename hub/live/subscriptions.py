"""The open inbox subscriptions of this process, and the repair of gaps in them.

Each subscription is a `Feed` with its own position.

Guarantee: a feed yields every change after its start position, once and in the order of `modseq`, or it ends with
RESYNC.

- Subscribing: the feed buffers live changes, receives the backlog from the store, and then queues the buffered changes.
- Gaps: if the `first` of a message is not the next `modseq` of a feed, the mailbox is marked as behind, and its feeds
  receive the missing changes from the store.
- Reconciling: every open mailbox is compared with the store every 30 s, after every loss of messages, and every 1.5 s
  while pub/sub is disconnected. A process compares at most RECONCILE_READS_PER_S mailboxes per second, so a comparison
  of many mailboxes takes longer and is repeated less often. Processes that lose Redis at the same time begin at
  different times.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
from msgspec import UNSET, MsgspecError
from pymongo.errors import PyMongoError

from hub.errors import NotFound, Unavailable
from hub.live import message_codec
from hub.live.publisher import common_channel, user_channel
from hub.live.pubsub import PubSubConnection
from hub.live.subscription_feed import Feed, SharedBroadcast
from hub.model import Backlog, Mailbox, MailboxChange, Position
from hub.platform import metrics

RECONCILE_INTERVAL_S = 30.0
RECONCILE_INTERVAL_DISCONNECTED_S = 1.5
RECONCILE_READS_PER_S = 1000  # mailboxes that one process compares with the store
JITTER = 0.25  # share of an interval, and of the duration of a comparison
MAILBOXES_PER_QUERY = 250
CATCH_UP_TASKS = 8
RETRY_DELAY_S = 0.5
CONCURRENT_BACKLOGS = 16  # more would delay other queries, because MongoDB connections are limited
BACKLOG_SLOT_TIMEOUT_S = 30.0  # about as long as clients wait
FAR_FUTURE_S = 1 << 40  # a Unix time

log = structlog.get_logger(__name__)


class Store(Protocol):
    """The methods that subscriptions use to read inboxes."""

    async def get_mailboxes(self, ids: Sequence[str]) -> Mapping[str, Mailbox]: ...
    async def peek_backlog(self, mailbox: str, after: Position | None) -> Backlog | None: ...
    async def backlog(self, mailbox: str, after: Position | None) -> Backlog | None: ...


class SubscriptionHub:
    """The feeds of this process, by mailbox.

    `connect` returns the pub/sub connection, which calls `on_message`, and calls `reconcile` after messages were lost.
    """

    def __init__(
        self,
        store: Store,
        connect: Callable[["SubscriptionHub"], PubSubConnection],
        prefix: str,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._mailbox_feeds: dict[str, tuple[Feed, ...]] = {}  # a set of one feed has 216 bytes
        self._behind: set[str] = set()
        self._has_behind = asyncio.Event()
        self._reconcile_now = asyncio.Event()
        self._backlog_slots = asyncio.Semaphore(CONCURRENT_BACKLOGS)
        self._common_channel = common_channel(prefix)
        self._user_channel_prefix = user_channel(prefix, "")
        self.pubsub = connect(self)
        self.pubsub.subscribe(self._common_channel)

    async def subscribe(self, mailbox: str, after: Position | None) -> Feed:
        """Return a feed of all changes after `after`, or of all future changes if `after` is None.

        Raise NotFound if the mailbox does not exist."""
        feed = Feed(mailbox)
        if mailbox not in self._mailbox_feeds:
            self.pubsub.subscribe(user_channel(self._prefix, mailbox))
        self._mailbox_feeds[mailbox] = (*self._mailbox_feeds.get(mailbox, ()), feed)
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
        """Read a backlog. At most CONCURRENT_BACKLOGS are read concurrently. Further reads wait in order."""
        try:
            async with asyncio.timeout(BACKLOG_SLOT_TIMEOUT_S):
                await self._backlog_slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many subscriptions are being opened: try again shortly.") from None
        try:
            backlog = await self._store.backlog(mailbox, after)
        finally:
            self._backlog_slots.release()
        if backlog is None:
            raise NotFound("This inbox does not exist.")
        return backlog

    def unsubscribe(self, feed: Feed) -> None:
        """Close the feed and add no further events."""
        feed.close()
        feeds = self._mailbox_feeds.get(feed.mailbox, ())
        if feed not in feeds:
            return
        metrics.feeds.dec()
        if others := tuple(other for other in feeds if other is not feed):
            self._mailbox_feeds[feed.mailbox] = others
        else:
            del self._mailbox_feeds[feed.mailbox]
            self.pubsub.unsubscribe(user_channel(self._prefix, feed.mailbox))

    @property
    def mailbox_count(self) -> int:
        """The number of mailboxes with at least one feed."""
        return len(self._mailbox_feeds)

    def queue_lengths(self) -> Iterator[int]:
        """Yield the number of waiting events of each feed."""
        return (feed.waiting for feeds in self._mailbox_feeds.values() for feed in feeds)

    def on_message(self, channel: str, data: bytes) -> None:
        """Handle a pub/sub message."""
        try:
            if channel != self._common_channel:
                self._deliver(message_codec.decode_changed(data))
                return
            message = message_codec.decode_common(data)
        except (MsgspecError, ValueError, IndexError) as error:  # from another version. The store has the change.
            metrics.unreadable.labels("live").inc()
            log.warning("live_message_invalid", throttled=True, error=error)
            if channel == self._common_channel:
                self.reconcile()
            else:
                self._mark_behind(channel.removeprefix(self._user_channel_prefix))
            return
        if isinstance(message, message_codec.Reconcile):
            self.reconcile()
            return
        shared = SharedBroadcast(message)
        for row in message.rows:
            for feed in self._mailbox_feeds.get(row.mailbox, ()):
                if not feed.offer_row(shared, row):
                    self._mark_behind(row.mailbox)

    def reconcile(self) -> None:
        """Compare every open mailbox with the store soon."""
        self._reconcile_now.set()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pubsub.run())
            group.create_task(self._run_reconcile())
            for _ in range(CATCH_UP_TASKS):
                group.create_task(self._run_catch_up())

    def _deliver(self, change: MailboxChange) -> None:
        for feed in self._mailbox_feeds.get(change.mailbox, ()):
            if not feed.offer(change):
                self._mark_behind(change.mailbox)

    def _mark_behind(self, mailbox: str) -> None:
        metrics.gaps.inc()
        self._behind.add(mailbox)
        self._has_behind.set()

    async def _run_reconcile(self) -> None:
        while True:
            interval_s = RECONCILE_INTERVAL_DISCONNECTED_S if self.pubsub.disconnected else RECONCILE_INTERVAL_S
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s * (1 + random.uniform(-JITTER, JITTER))):  # noqa: S311 - jitter
                    await self._reconcile_now.wait()
            reading_s = self.mailbox_count / RECONCILE_READS_PER_S
            await asyncio.sleep(random.uniform(0, JITTER) * reading_s)  # noqa: S311 - jitter
            self._reconcile_now.clear()
            await _retry_until_ok(self._reconcile)

    async def _reconcile(self) -> None:
        mailboxes = list(self._mailbox_feeds)
        for start in range(0, len(mailboxes), MAILBOXES_PER_QUERY):
            batch = mailboxes[start : start + MAILBOXES_PER_QUERY]
            heads = await self._store.get_mailboxes(batch)
            metrics.mailboxes_reconciled.inc(len(batch))
            for mailbox in batch:
                head = heads.get(mailbox)  # None: the user was erased, or the mailbox cannot be decoded
                if any(
                    feed.live and (head is None or feed.position < head.modseq or feed.epoch != head.epoch)
                    for feed in self._mailbox_feeds.get(mailbox, ())
                ):
                    self._mark_behind(mailbox)
            await asyncio.sleep(len(batch) / RECONCILE_READS_PER_S)

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
            log.exception("backlog_failed", mailbox=mailbox)  # the client receives the error when it reloads the inbox
            backlog = Backlog(Mailbox(id=mailbox, epoch=""), UNSET)
        for feed in feeds:
            if feed.live:
                feed.catch_up(backlog or Backlog(Mailbox(id=mailbox, epoch=""), []))

    @staticmethod
    def _position(feed: Feed) -> Position:
        """Return the position of an open feed, with a time that is never too old for a backlog."""
        return Position(feed.epoch, feed.position, FAR_FUTURE_S)


async def _retry_until_ok(step: Callable[..., Awaitable[None]], *args: str) -> None:
    """Call `step`, and repeat the call after each MongoDB error. Otherwise, a feed would miss changes.

    Other errors are logged and ignored, because they must not stop the process."""
    while True:
        try:
            return await step(*args)
        except PyMongoError as error:
            log.warning("reconcile_failed", error=error)
            await asyncio.sleep(RETRY_DELAY_S)
        except Exception:
            log.exception("reconcile_crashed", mailboxes=args)
            return None
