"""Conductor: whatever is due. Today that is inboxes: snoozes that end, notifications that expire. Beside that it counts
one mailbox after another anew: a count that drifted is an error of ours, and should be known before a user knows.

Every process of kind worker may tick. What two of them find at once is changed once: the change looks again, inside
its transaction. Work that fails stays due and is found by a later round.
"""

import asyncio
from collections import defaultdict

import structlog
from pymongo.errors import PyMongoError

from hub import metrics
from hub.change import Change
from hub.clock import Clock
from hub.errors import HubError
from hub.inbox.store import Inboxes

SLICE = 500  # notifications a round; a full slice is followed by the next at once
AFTER_FAILURE_S = 1.0
RECOUNT_S = 5.0

log = structlog.get_logger(__name__)


class Ticker:
    def __init__(self, inboxes: Inboxes, change: Change, clock: Clock, tick_s: float) -> None:
        self._inboxes = inboxes
        self._change = change
        self._clock = clock
        self._tick_s = tick_s

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_ticking())
            group.create_task(self._keep_recounting())

    async def _keep_ticking(self) -> None:
        while True:
            try:
                found = await self.tick()
            except (HubError, PyMongoError) as error:
                log.warning("tick_failed", error=repr(error))
                await asyncio.sleep(AFTER_FAILURE_S)
            except Exception:
                log.exception("tick_broke")
                await asyncio.sleep(AFTER_FAILURE_S)
            else:
                if found < SLICE:
                    await asyncio.sleep(self._tick_s)

    async def _keep_recounting(self) -> None:
        while True:
            await asyncio.sleep(RECOUNT_S)
            try:
                mailbox = await self._inboxes.some_mailbox()
                recounted = mailbox and await self._inboxes.recount(mailbox)
            except PyMongoError as error:
                log.warning("recount_failed", error=repr(error))
                continue
            if recounted:
                head, unread, unseen = recounted
                metrics.recounted.inc()
                if (head.unread, head.unseen) != (unread, unseen):
                    metrics.drifted.inc()
                    log.error(
                        "counts_drifted",
                        mailbox=head.id,
                        unread=head.unread,
                        unseen=head.unseen,
                        counted=[unread, unseen],
                    )

    async def tick(self) -> int:
        """One slice of what is due. Answers how many notifications that were."""
        due = await self._inboxes.due(self._clock(), SLICE)
        by_mailbox: dict[str, list[str]] = defaultdict(list)
        for mailbox, notification in due:
            by_mailbox[mailbox].append(notification)
        woken = [self._change.wake(mailbox, ids) for mailbox, ids in by_mailbox.items()]
        for answer in await asyncio.gather(*woken, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        return len(due)
