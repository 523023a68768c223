"""The pause and the resumption of a send.

- A pause only marks the send. From then on, no call for it starts: the check right before each call, and the release of
  what waits for a time, hold the deliveries with the reason PAUSED and without `due_at`. A send that waits is not
  published, and an expansion reaches no other recipient. Notifications that are in inboxes stay.
- A release that read the send as running may show its notification: an IN_APP step, or a step over the daily limit.
  Therefore a pause also changes the deliveries that are due, so the release conflicts and reads the send again.
- A resumption gives the send the status that it had. Then it makes what is held with PAUSED due, so the scheduler
  decides each delivery again. Calls that a worker prepares at this time are not held.
- A release that read the send as paused may be committed until its deadline, so the last round, which must find
  nothing, is twice that time after the resumption.
"""

from datetime import timedelta

from hub.enrichment.jobs import EnrichmentJobs
from hub.errors import Conflict, NotFound
from hub.model import Priority, Send, SendStatus
from hub.status.expansion_parts import ExpansionParts
from hub.status.held_deliveries import HeldDeliveries
from hub.status.sends import Sends
from hub.utc_time import Clock, RealClock
from hub.workflows.send_change_rounds import ROUND_SIZE, Round, SendChangeRounds

SLICE = 500  # deliveries per update
RESTORED_MAX = 100  # sends that are resumed in one call
ENDED = {
    SendStatus.CANCELLED: "It was canceled.",
    SendStatus.RECALLED: "It was recalled.",
    SendStatus.EXPIRED: "It has expired.",
    SendStatus.FAILED: "It has failed.",
}


def paused_by(subject: str) -> str:
    """Return the reason of a pause by a caller."""
    return f"Paused by {subject}."


class SendPause:
    def __init__(
        self,
        sends: Sends,
        rounds: SendChangeRounds,
        held: HeldDeliveries,
        parts: ExpansionParts,
        enrichment_jobs: EnrichmentJobs,
        clock: Clock,
        real_clock: RealClock,
        commit_deadline_s: float,
    ) -> None:
        self._sends = sends
        self.rounds = rounds
        self._held = held
        self._parts = parts
        self._enrichment_jobs = enrichment_jobs
        self._clock = clock
        self._real_clock = real_clock
        self._last_round = timedelta(seconds=2 * commit_deadline_s)

    async def pause(self, tenant: str, id: str, reason: str) -> Send:
        """Stop the calls of a send that have not started. If it is paused, return it unchanged: the call that paused it
        may not have stopped its expansion yet. Raise NotFound, or Conflict if it has ended."""
        paused = await self.rounds.changes.mark_paused(tenant, id, reason)
        if paused is None:
            paused = await self._unchanged(tenant, id, "paused")
        if paused.status is SendStatus.PAUSED:
            if paused.parts_left is not None:
                await self._parts.stop(id)
            await self._held.lock_due(paused, self._clock())
        return paused

    async def pause_by_guard(self, send: Send, reason: str) -> bool:
        """Stop the calls of a send whose canary failed. Return False if the failure guard has decided before."""
        paused = await self.rounds.changes.mark_paused(send.tenant, send.id, reason, by_guard=True)
        if paused:
            await self._held.lock_due(paused, self._clock())
        return paused is not None

    async def resume(self, tenant: str, id: str) -> Send:
        """Continue a send in the status that it had. If it is not paused, return it unchanged. Raise NotFound, or
        Conflict if it has ended."""
        resumed = await self.rounds.changes.mark_resumed(tenant, id, self._real_clock(), self.rounds.lease_end())
        return await self.rounds.begin(resumed, self) if resumed else await self._unchanged(tenant, id, "resumed")

    async def resume_restored(self, tenant: str) -> int:
        """Continue sends that are paused since a restore, at most RESTORED_MAX. Return their number."""
        ids = await self.rounds.changes.list_restored(tenant, RESTORED_MAX)
        for id in ids:
            await self.resume(tenant, id)
        return len(ids)

    async def prepare(self, send: Send) -> Send:
        """Continue the preparation or the expansion of the send."""
        if send.status is SendStatus.PREPARING:
            await self._enrichment_jobs.reopen(send.id, send.tenant, send.priority or Priority.MEDIUM)
        elif send.status is not SendStatus.SCHEDULED:
            if send.parts_left is not None:
                await self._parts.resume(send.id, guarded=send.guarded)
            await self._held.keep_running(send.id)
        return send

    async def run_round(self, send: Send) -> Round:
        """Make deliveries due that are held because the send was paused, up to ROUND_SIZE."""
        if send.status in (SendStatus.SCHEDULED, SendStatus.PREPARING):
            return Round(0)
        changed, found = 0, SLICE
        while found == SLICE and changed < ROUND_SIZE:
            found = await self._held.make_paused_due(send.id, SLICE, self._clock())
            changed += found
        now = self._real_clock()
        if found == SLICE:
            return Round(changed, now)
        last_round = (send.resumed_at or now) + self._last_round
        return Round(changed) if not found and now >= last_round else Round(changed, max(now, last_round), waiting=True)

    async def count_remaining(self, send: Send, limit: int | None) -> int:
        """Return the number of deliveries that are held because the send was paused, and are not due, or `limit` if
        there are more."""
        return await self._held.count_paused(send.id, limit)

    async def _unchanged(self, tenant: str, id: str, action: str) -> Send:
        """Return a send that did not need a change. A concurrent call may have changed it since."""
        send = await self._sends.get(tenant, id)
        if send is None:
            raise NotFound("This send does not exist.")
        if send.status in ENDED:
            raise Conflict(f"This send cannot be {action}. {ENDED[send.status]}")
        return send
