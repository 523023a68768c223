"""The task that ends snoozes and removes expired notifications.

Every worker may run the task, because each change is checked again in its transaction. Failed changes remain due. If a
notification or its mailbox cannot be decoded, the notification is postponed, so it does not delay the others.
"""

import asyncio
from collections import defaultdict
from datetime import timedelta

import structlog

from hub.inbox.inbox_reader import Inboxes
from hub.utc_time import Clock
from hub.workflows.inbox_actions import InboxActions

BATCH_SIZE = 500
UNPROCESSABLE_RETRY = timedelta(seconds=60)

log = structlog.get_logger(__name__)


class DueNotifications:
    def __init__(self, inboxes: Inboxes, inbox_actions: InboxActions, clock: Clock) -> None:
        self._inboxes = inboxes
        self._inbox_actions = inbox_actions
        self._clock = clock

    async def tick(self) -> int:
        """Process one batch of due notifications, longest overdue first. Return the number of notifications."""
        now = self._clock()
        due = await self._inboxes.list_due(now, BATCH_SIZE)
        by_mailbox: dict[str, list[str]] = defaultdict(list)
        for mailbox, notification in due:
            by_mailbox[mailbox].append(notification)
        changes = [self._inbox_actions.apply_due(mailbox, ids) for mailbox, ids in by_mailbox.items()]
        results = await asyncio.gather(*changes, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if unprocessable := [id for result in results if not isinstance(result, BaseException) for id in result]:
            log.warning("notifications_postponed", notifications=len(unprocessable), first=unprocessable[0])
            await self._inboxes.postpone(unprocessable, now + UNPROCESSABLE_RETRY)
        if errors:
            raise errors[0]
        return len(due)
