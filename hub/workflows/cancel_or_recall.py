"""The cancellation or recall of a send.

The send is marked first, which prevents every call that has not started. Then its expansion ends, and the waiting
deliveries are cancelled. A recall also removes the notifications from the inboxes and publishes the removal. This takes
place in rounds. The scheduler also retries notifications that could not be decoded.
"""

from datetime import timedelta

import structlog

from hub.errors import NotFound
from hub.inbox.notification_lookup import Notifications
from hub.model import Send, SendStatus
from hub.status.deliveries import Deliveries
from hub.status.sends import Sends, stop_reason
from hub.utc_time import RealClock
from hub.workflows.inbox_actions import InboxActions
from hub.workflows.send_change_rounds import CANCELLED_STATUSES, ROUND_SIZE, Round, SendChangeRounds
from hub.workflows.stop_expansion import StopExpansion

CHUNK = 250  # notifications per transaction; larger transactions would delay other changes
INCOMPLETE_PAUSE = timedelta(seconds=30)  # after notifications could not be decoded

log = structlog.get_logger(__name__)


class SendCancellation:
    def __init__(
        self,
        sends: Sends,
        rounds: SendChangeRounds,
        deliveries: Deliveries,
        notifications: Notifications,
        inbox_actions: InboxActions,
        stop_expansion: StopExpansion,
        real_clock: RealClock,
    ) -> None:
        self._stop_expansion = stop_expansion
        self._sends = sends
        self._rounds = rounds
        self._deliveries = deliveries
        self._notifications = notifications
        self._inbox_actions = inbox_actions
        self._real_clock = real_clock

    async def cancel(self, tenant: str, id: str) -> Send:
        """Cancel the deliveries that were not sent. The notifications remain in the inboxes. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.CANCELLED)

    async def recall(self, tenant: str, id: str) -> Send:
        """Cancel the deliveries that were not sent, and remove the notifications from all inboxes. Raise NotFound."""
        return await self._begin(tenant, id, SendStatus.RECALLED)

    async def prepare(self, send: Send) -> Send:
        """End the expansion of the send. Return the send with its recipients."""
        return await self._stop_expansion.end(send)

    async def run_round(self, send: Send) -> Round:
        """Cancel deliveries, and then remove notifications from inboxes, up to ROUND_SIZE."""
        reason = stop_reason(send.status, send.reason)
        assert reason
        changed = await self._deliveries.cancel(send.id, reason, ROUND_SIZE)
        if changed >= ROUND_SIZE:
            return Round(changed, self._real_clock(), recalled_to=send.recalled_to)
        if send.status is SendStatus.RECALLED:
            return await self._recall(send, changed)
        return Round(changed)

    async def count_remaining(self, send: Send, limit: int | None) -> int:
        """Return the number of deliveries that wait, or `limit` if there are more. For a recall, add the number of
        notifications."""
        waiting = await self._deliveries.count_waiting(send.id, limit)
        return waiting + (send.recipients if send.status is SendStatus.RECALLED else 0)

    async def _begin(self, tenant: str, id: str, status: SendStatus) -> Send:
        send = await self._rounds.changes.mark_cancelled(tenant, id, status, self._rounds.lease_end())
        if send:
            return await self._rounds.begin(send, self)
        send = await self._sends.get(tenant, id)
        if send is None:
            raise NotFound("This send does not exist.")
        if send.status in CANCELLED_STATUSES:  # by another call, which may not have ended the expansion yet
            return await self._stop_expansion.end(send)
        return send

    async def _recall(self, send: Send, changed: int) -> Round:
        after, recalled = send.recalled_to, 0
        while chunk := await self._notifications.list_to_recall(send.id, CHUNK, after):
            if changed >= ROUND_SIZE:
                return Round(changed, self._real_clock(), recalled_to=after, recalled=recalled)
            await self._inbox_actions.recall(chunk)
            changed, recalled, after = changed + len(chunk), recalled + len(chunk), chunk[-1][1]
        if left := await self._notifications.list_to_recall(send.id, CHUNK):
            _, notification = left[0]
            log.warning("recall_incomplete", send=send.id, notification=notification)
            return Round(changed, self._real_clock() + INCOMPLETE_PAUSE, waiting=True)
        return Round(changed)
