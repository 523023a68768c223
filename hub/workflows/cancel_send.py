"""Cancels or recalls a send.

The send is marked first, which stops every call that has not started. Then waiting deliveries are ended and, on recall,
notifications are removed from the inboxes and the removal is published. If the process dies, a scheduler resumes.
"""

from datetime import timedelta

from hub.clock import Clock
from hub.errors import NotFound
from hub.model import Reason, Send, SendStatus
from hub.status.deliveries import Deliveries
from hub.status.sends import Sends
from hub.workflows.inbox_actions import InboxActions

CHUNK = 250  # notifications per transaction, so that other changes are not delayed
RESUME_AFTER = timedelta(seconds=30)


class SendCancellation:
    def __init__(self, sends: Sends, deliveries: Deliveries, change: InboxActions, clock: Clock) -> None:
        self._sends = sends
        self._deliveries = deliveries
        self._change = change
        self._clock = clock

    async def cancel(self, tenant: str, id: str) -> Send:
        """Cancel deliveries that were not sent. Notifications stay in the inboxes. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.CANCELLED)

    async def recall(self, tenant: str, id: str) -> Send:
        """Cancel deliveries that were not sent, and remove the notifications from every inbox. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.RECALLED)

    async def resume_interrupted(self) -> int:
        """Resume cancellations of processes that died. Return the number of sends."""
        found = await self._sends.list_interrupted(self._clock() - RESUME_AFTER)
        for send in found:
            await self._apply(send)
        return len(found)

    async def _begin(self, tenant: str, id: str, status: SendStatus) -> Send:
        send = await self._sends.mark_cancelled(tenant, id, status, self._clock())
        if send is None:
            raise NotFound("There is no such send.")
        await self._apply(send)
        return send

    async def _apply(self, send: Send) -> None:
        recalled = send.status is SendStatus.RECALLED
        await self._deliveries.cancel(send.id, Reason.RECALLED if recalled else Reason.CANCELLED)
        while recalled and (standing := await self._sends.list_in_inboxes(send, CHUNK)):
            await self._change.recall(standing)
        await self._sends.finish_cancellation(send)
