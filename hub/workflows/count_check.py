"""The background task that recounts one mailbox after another, to find bugs before users see wrong counts."""

import asyncio

import structlog

from hub.inbox.inbox_reader import Inboxes
from hub.platform import metrics

CHECK_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class CountCheck:
    def __init__(self, inboxes: Inboxes) -> None:
        self._inboxes = inboxes

    async def run(self) -> None:
        """Check a random mailbox every CHECK_EVERY_S until cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                await self._check()
            except Exception as error:  # noqa: BLE001 - a mailbox that cannot be decoded must not end the process
                log.warning("recount_failed", error=error)

    async def _check(self) -> None:
        sample = await self._inboxes.sample_mailboxes(1)
        recounted = await self._inboxes.recount(sample[0]) if sample else None
        if not recounted:
            return
        mailbox, unread, unseen = recounted
        metrics.mailboxes_recounted.inc()
        if (mailbox.unread, mailbox.unseen) != (unread, unseen):
            metrics.mailboxes_drifted.inc()
            log.error(
                "counts_drifted",
                mailbox=mailbox.id,
                unread=mailbox.unread,
                unseen=mailbox.unseen,
                counted=[unread, unseen],
            )
