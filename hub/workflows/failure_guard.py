"""The failure guard of sends to many users. If too many calls for the canary of a send fail, the send is paused.
Otherwise, the other users get it.

Every worker may run the task. A look is claimed by postponing the next one, and the guard decides once per send. After
an operator resumed the send, all its parts continue.
"""

from datetime import timedelta

import structlog

from hub.decide.failure_guard import Result, Verdict, judge, paused_by_guard
from hub.model import Channel, Send
from hub.platform import metrics
from hub.platform.failing_entries import FailingEntries
from hub.status.deliveries import Deliveries
from hub.status.expansion_parts import ExpansionParts
from hub.status.guarded_sends import GuardedSends
from hub.status.send_changes import SendChanges
from hub.utc_time import RealClock
from hub.workflows.expansion_chunk import GUARD_WAIT_MAX
from hub.workflows.health import HealthReader

INTERVAL = timedelta(seconds=2)  # between two looks at a canary

log = structlog.get_logger(__name__)


class FailureGuard:
    def __init__(
        self,
        guarded: GuardedSends,
        changes: SendChanges,
        parts: ExpansionParts,
        deliveries: Deliveries,
        health: HealthReader,
        failures_max: int,
        real_clock: RealClock,
    ) -> None:
        self._guarded = guarded
        self._changes = changes
        self._parts = parts
        self._deliveries = deliveries
        self._health = health
        self._failures_max = failures_max
        self._real_clock = real_clock
        self._failing = FailingEntries("failure_guard")

    async def tick(self) -> int:
        """Look at the canaries that are due. Return their number."""
        now = self._real_clock()
        due = await self._guarded.list_due(now, self._failing.ids)
        for send in due:
            if await self._guarded.claim(send, now + INTERVAL):
                await self._failing.run(send.id, self._look(send))
        return len(due)

    async def _look(self, send: Send) -> None:
        if send.guarded:
            counts = await self._deliveries.counts([send.id])
            if not (judge(counts[send.id], self._failures_max).is_final or self._has_waited(send)):
                return
            verdict = judge(counts[send.id], self._failures_max, await self._list_down())
            if not await self._decide(send, verdict):
                return
        await self._parts.resume(send.id, guarded=False)
        await self._guarded.finish(send.id)

    async def _list_down(self) -> set[Channel]:
        """Return the channels all of whose providers have an open circuit breaker."""
        providers = await self._health.providers()
        return {one.channel for one in providers} - {one.channel for one in providers if not one.open}

    def _has_waited(self, send: Send) -> bool:
        now = self._real_clock()
        resumed_until = send.resumed_at + GUARD_WAIT_MAX if send.resumed_at else now
        return now >= max(send.guard_until or now, resumed_until)

    async def _decide(self, send: Send, verdict: Verdict) -> bool:
        """Return True if the other users get the send."""
        if verdict.result is Result.FAILED:
            reason = paused_by_guard(verdict, self._failures_max)
            decided = await self._changes.mark_paused(send.tenant, send.id, reason, by_guard=True) is not None
        else:
            decided = await self._guarded.mark_passed(send.id)
        if decided:
            metrics.guarded_sends.labels(verdict.result).inc()
            log.info("send_guarded", send=send.id, result=verdict.result, called=verdict.called, failed=verdict.failed)
        return decided and verdict.result is not Result.FAILED
