"""Conductor: a send is cancelled or recalled. First the send says so, which stops every call not yet made; then what
waits is ended, and, by a recall, taken out of the inboxes, live. If this process dies over it, a ticker goes on."""

from datetime import timedelta

from hub.clock import Clock
from hub.errors import NotFound
from hub.model import Reason, Send, SendStatus
from hub.status.deliveries import Deliveries
from hub.status.sends import Sends
from hub.workflows.inbox_actions import InboxActions

CHUNK = 250  # notifications a transaction: small enough to let others through
RESUME_AFTER = timedelta(seconds=30)


class SendCancellation:
    def __init__(self, sends: Sends, deliveries: Deliveries, change: InboxActions, clock: Clock) -> None:
        self._sends = sends
        self._deliveries = deliveries
        self._change = change
        self._clock = clock

    async def cancel(self, tenant: str, id: str) -> Send:
        """What has not gone out yet never does. What stands in inboxes stays."""
        return await self._begin(tenant, id, SendStatus.CANCELLED)

    async def recall(self, tenant: str, id: str) -> Send:
        """Out of every inbox, and what has not gone out yet never does."""
        return await self._begin(tenant, id, SendStatus.RECALLED)

    async def resume_interrupted(self) -> int:
        """Goes on where a process died. Answers how many sends."""
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
