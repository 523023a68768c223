"""Applies a changed retention period of a category to the notifications of earlier sends.

The category's sends are processed in slices, oldest first. Each slice sets the times at which notifications end; the
scheduler then removes the notifications that are due. A send, or a chunk of an expansion, that read the category before
the change may still commit until its deadline. The first slice is therefore processed after twice that time.
"""

from datetime import timedelta
from itertools import accumulate

from hub.inbox.retention_sweeps import SLICE, RetentionSweep, RetentionSweeps
from hub.platform.failing_entries import FailingEntries
from hub.status.sends import Sends
from hub.utc_time import Clock

SENDS_PER_SLICE = 500
SWEEPS_PER_ROUND = 10


class Retention:
    def __init__(self, sweeps: RetentionSweeps, sends: Sends, clock: Clock, commit_deadline_s: float) -> None:
        self._sweeps = sweeps
        self._sends = sends
        self._clock = clock
        self._settled_after = timedelta(seconds=2 * commit_deadline_s)
        self._failing = FailingEntries("retention_sweeps")

    async def apply_to_earlier(self, tenant: str, category: str, retention_s: int | None) -> None:
        """Start to apply the retention period of a category to the notifications of earlier sends."""
        sweep = RetentionSweep(
            id=f"{tenant}/{category}",
            tenant=tenant,
            category=category,
            started_at=self._clock(),
            retention_s=retention_s,
        )
        await self._sweeps.start(sweep)

    async def continue_sweeps(self) -> int:
        """Process the next slice of each sweep. Return the number of slices."""
        slices = 0
        for sweep in await self._sweeps.list_unfinished(SWEEPS_PER_ROUND, self._failing.ids):
            slices += bool(await self._failing.run(sweep.id, self._process_slice(sweep)))
        return slices

    async def _process_slice(self, sweep: RetentionSweep) -> bool:
        """Return True if there was something to process."""
        until = sweep.started_at + self._settled_after
        if self._clock() < until:
            return False
        found = await self._sends.list_of_category(sweep.tenant, sweep.category, sweep.after, until, SENDS_PER_SLICE)
        totals = accumulate(recipients for _, recipients in found)
        ids = [id for (id, recipients), total in zip(found, totals, strict=True) if total <= SLICE]
        if ids := ids or [id for id, _ in found[:1]]:  # a large send is a slice of its own
            if sweep.retention_s is not None:
                await self._sends.record_users(ids)
            if await self._sweeps.apply(sweep, ids):
                await self._sweeps.advance(sweep, ids[-1])
        else:
            await self._sweeps.finish(sweep)
        return bool(ids)
