"""Publishes committed changes to the other processes.

Requests do not wait for publishing, and no guarantee depends on it. The queue is bounded. If changes are lost because
Redis is unavailable or the queue is full, the next successful publish includes one `Reconcile` message, and subscribers
compare their mailboxes with the store.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress

import structlog
from redis.asyncio import Redis

from hub.live import message_codec
from hub.model import MailboxChange
from hub.platform import metrics, tracing
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS

CHANGES_PER_ROUND_TRIP = 500
RETRY_DELAY_S = 0.2
WAITING_MAX = 10_000  # changes of one process. Further changes are not published, and subscribers read the store.

log = structlog.get_logger(__name__)


def user_channel(prefix: str, mailbox: str) -> str:
    return f"{prefix}user:{mailbox}"


def common_channel(prefix: str) -> str:
    return f"{prefix}all"


class Publisher:
    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._queue: deque[list[MailboxChange]] = deque()
        self._waiting = 0  # changes in the queue
        self._wake = asyncio.Event()
        self._lost = False

    def enqueue(self, changed: list[MailboxChange]) -> None:
        """Queue the changes of one commit, or drop them if the queue is full."""
        if self._waiting >= WAITING_MAX:
            if not self._lost:
                log.warning("publish_queue_full", waiting=self._waiting)
            self._lost = True
            metrics.publish_lost.inc(len(changed))
            return
        self._queue.append(changed)
        self._waiting += len(changed)
        self._wake.set()

    @property
    def waiting(self) -> int:
        """The number of changes that are not published yet."""
        return self._waiting

    def request_reconcile(self) -> None:
        """Tell all subscribers to compare with the store, because a commit may not have been published."""
        self._lost = True
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while not is_cancelling():
            if not self._queue and not self._lost:
                self._wake.clear()
                await self._wake.wait()
            commits = self._next_commits()
            messages = _messages(commits)
            began_ns = time.time_ns()
            try:
                await self._publish(messages)
            except REDIS_ERRORS as error:
                if not self._lost:
                    log.warning("publish_failed", error=error)
                self._lost = True
                metrics.publish_lost.inc(len(messages))
                await asyncio.sleep(RETRY_DELAY_S)
            except asyncio.CancelledError:
                self._lost = True  # the messages may or may not have been published
                raise
            else:
                metrics.published.inc(len(messages))
                if tracing.enabled():
                    _record_spans(commits, began_ns)

    async def flush(self) -> None:
        """Publish the rest of the queue after `run` has ended. Stop at the first Redis error."""
        with suppress(*REDIS_ERRORS):
            while self._queue or self._lost:
                await self._publish(_messages(self._next_commits()))

    def _next_commits(self) -> list[list[MailboxChange]]:
        """Take whole commits from the queue, up to about `CHANGES_PER_ROUND_TRIP` changes."""
        commits: list[list[MailboxChange]] = []
        count = 0
        while self._queue and count < CHANGES_PER_ROUND_TRIP:
            commits.append(self._queue.popleft())
            count += len(commits[-1])
        self._waiting -= count
        return commits

    async def _publish(self, messages: list[tuple[str | None, bytes]]) -> None:
        common = common_channel(self._prefix)
        pipeline = self._redis.pipeline(transaction=False)
        if self._lost:
            pipeline.publish(common, message_codec.encode(message_codec.Reconcile()))
        for mailbox, data in messages:
            pipeline.publish(user_channel(self._prefix, mailbox) if mailbox else common, data)
        await pipeline.execute()
        self._lost = False


def _messages(commits: list[list[MailboxChange]]) -> list[tuple[str | None, bytes]]:
    return [message for changed in commits for message in message_codec.encode_changes(changed)]


def _record_spans(commits: list[list[MailboxChange]], began_ns: int) -> None:
    """Record the publish in the trace of each operation."""
    for traceparent in {event.traceparent for changed in commits for change in changed for event in change.events}:
        if traceparent:
            tracing.record("publish", traceparent, began_ns, "PRODUCER")
