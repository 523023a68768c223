"""The cancellation or recall of a send.

The send is marked first, which prevents every call that has not started. Then the waiting deliveries are cancelled. A
recall also removes the notifications from the inboxes and publishes the removal. If the process dies, a scheduler
resumes the work. The scheduler also retries notifications that could not be decoded.
"""

from datetime import timedelta

import structlog

from hub.errors import NotFound
from hub.model import Reason, Send, SendStatus
from hub.status.deliveries import Deliveries
from hub.status.sends import Sends
from hub.utc_time import RealClock
from hub.workflows.inbox_actions import InboxActions

CHUNK = 250  # notifications per transaction; larger transactions would delay other changes
RESUME_AFTER = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class SendCancellation:
    def __init__(
        self, sends: Sends, deliveries: Deliveries, inbox_actions: InboxActions, real_clock: RealClock
    ) -> None:
        self._sends = sends
        self._deliveries = deliveries
        self._inbox_actions = inbox_actions
        self._real_clock = real_clock

    async def cancel(self, tenant: str, id: str) -> Send:
        """Cancel the deliveries that were not sent. The notifications remain in the inboxes. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.CANCELLED)

    async def recall(self, tenant: str, id: str) -> Send:
        """Cancel the deliveries that were not sent, and remove the notifications from all inboxes. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.RECALLED)

    async def resume_interrupted(self) -> int:
        """Resume the cancellations of processes that died. Return the number of sends."""
        now = self._real_clock()
        interrupted = await self._sends.list_interrupted(now - RESUME_AFTER)
        for send in interrupted:
            await self._sends.mark_resumed(send, now)  # if it fails again, other sends are resumed first
            await self._apply(send)
        return len(interrupted)

    async def _begin(self, tenant: str, id: str, status: SendStatus) -> Send:
        send = await self._sends.mark_cancelled(tenant, id, status, self._real_clock())
        if send is None:
            raise NotFound("This send does not exist.")
        await self._apply(send)
        return send

    async def _apply(self, send: Send) -> None:
        recalled = send.status is SendStatus.RECALLED
        await self._deliveries.cancel(send.id, Reason.RECALLED if recalled else Reason.CANCELLED)
        after = ""
        while recalled and (chunk := await self._sends.list_to_recall(send, CHUNK, after)):
            await self._inbox_actions.recall(chunk)
            after = chunk[-1][1]
        if recalled and (left := await self._sends.list_to_recall(send, CHUNK)):
            _, notification = left[0]
            log.warning("recall_incomplete", send=send.id, notification=notification)
            return
        await self._sends.finish_cancellation(send)
