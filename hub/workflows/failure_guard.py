"""The failure guard of sends to many users. If too many calls for the canary of a send fail, the send is paused.
Otherwise, the other users get it.

Every worker may run the task. A look is claimed by postponing the next one, and the guard decides once per send. After
an operator resumed the send, all its parts continue.
"""

from collections import Counter
from datetime import timedelta

import msgspec
import structlog

from hub.decide.failure_guard import Result, Verdict, judge, paused_by_guard
from hub.model import Send
from hub.platform import metrics
from hub.platform.failing_entries import FailingEntries
from hub.status.deliveries import Deliveries
from hub.status.guarded_sends import GuardedSends
from hub.utc_time import Clock
from hub.workflows.expansion_chunk import GUARD_WAIT_MAX, ChunkStores
from hub.workflows.health import HealthReader
from hub.workflows.pause_or_resume import SendPause
from hub.workflows.send_request import SendRequest

INTERVAL = timedelta(seconds=2)  # between two looks at a canary
BACKLOG_WAIT = timedelta(minutes=50)  # after GUARD_WAIT_MAX, while the calls wait behind others

log = structlog.get_logger(__name__)


class FailureGuard:
    def __init__(
        self,
        guarded: GuardedSends,
        pause: SendPause,
        stores: ChunkStores,
        deliveries: Deliveries,
        health: HealthReader,
        clock: Clock,
    ) -> None:
        self._guarded = guarded
        self._pause = pause
        self._stores = stores
        self._deliveries = deliveries
        self._health = health
        self._failures_max = stores.settings.guard_failures
        self._clock = clock
        self._real_clock = stores.real_clock
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
            decided = self._guarded.mark_passed(send.id) if await self._has_expired(send) else self._judge(send)
            if not await decided:
                return
        await self._stores.parts.resume(send.id, guarded=False)
        await self._guarded.finish(send.id)

    async def _judge(self, send: Send) -> bool:
        """Return True if the guard decides now that the other users get the send."""
        counts = (await self._deliveries.counts([send.id]))[send.id]
        retried = await self._guarded.count_retried(send.id)
        verdict = judge(counts, self._failures_max, retried=retried)
        if not (verdict.is_final or self._has_waited(send, verdict)):
            return False
        stored = (await self._stores.sends.counts([send.id]))[send.id]  # failed texts in inboxes
        counts = Counter(counts) + Counter(stored)
        return await self._decide(send, judge(counts, self._failures_max, await self._health.list_down(), retried))

    async def _has_expired(self, send: Send) -> bool:
        """Return True if the other parts end at once, because the send has expired."""
        of = await self._stores.expanding.get(send.id)
        request = msgspec.json.decode(of.scheduled.request, type=SendRequest) if of else None
        return bool(request and request.expires_at and request.expires_at <= self._clock())

    def _has_waited(self, send: Send, verdict: Verdict) -> bool:
        now = self._real_clock()
        resumed_until = send.resumed_at + GUARD_WAIT_MAX if send.resumed_at else now
        until = max(send.guard_until or now, resumed_until)
        return now >= (until + BACKLOG_WAIT if verdict.is_backlog else until)

    async def _decide(self, send: Send, verdict: Verdict) -> bool:
        """Return True if the other users get the send."""
        if verdict.result is Result.FAILED:
            reason = paused_by_guard(verdict, self._failures_max)
            decided = await self._pause.pause_by_guard(send, reason)
        else:
            decided = await self._guarded.mark_passed(send.id)
        if decided:
            metrics.guarded_sends.labels(verdict.result).inc()
            log.info("send_guarded", send=send.id, result=verdict.result, called=verdict.called, failed=verdict.failed)
        return decided and verdict.result is not Result.FAILED
