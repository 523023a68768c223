"""The rounds of a change of a whole send: cancellation, recall, or resumption.

- The change is marked in the record of the send first. If it concerns at most ROUND_SIZE documents, it is complete when
  the call returns. The call counts at most COUNTED_IN_CALL_MAX of them, so it takes as long for any send.
- Further rounds are run by the scheduler, one for each send in turn, so a large send does not delay the others.
- A round is claimed with a lease. After a process was killed, another one continues when the lease ends. A round that
  runs twice does no harm.
- `Send.remaining` is the number of documents that are left, until nothing is left. If the call has not counted all of
  them, it is an estimate until the next round counts.
"""

from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from hub.model import Send, SendStatus
from hub.platform.failing_entries import FailingEntries
from hub.status.send_changes import SendChanges
from hub.utc_time import RealClock

ROUND_SIZE = 1000  # documents that a round changes
COUNTED_IN_CALL_MAX = 50_000  # documents
LEASE = timedelta(seconds=10)
CANCELLED_STATUSES = (SendStatus.CANCELLED, SendStatus.RECALLED)


class Round(Struct, frozen=True):
    """The result of a round. `changed`: the number of documents. `recalled`: how many of them were recalled
    notifications. `next_at`: the real time of the next round, or None if the change is complete. `waiting`: True if
    nothing is left to do until then. `recalled_to`: see `Send`."""

    changed: int
    next_at: datetime | None = None
    waiting: bool = False
    recalled_to: str = ""
    recalled: int = 0


class SendChange(Protocol):
    async def prepare(self, send: Send) -> Send:
        """Make the changes that do not depend on the size of a send. Return the send with its recipients."""
        ...

    async def run_round(self, send: Send) -> Round:
        """Change up to about ROUND_SIZE documents of a send."""
        ...

    async def count_remaining(self, send: Send, limit: int | None) -> int:
        """Return about the number of documents that are left, or at least `limit` if there are more."""
        ...


class SendChangeRounds:
    def __init__(self, changes: SendChanges, real_clock: RealClock) -> None:
        self.changes = changes
        self._real_clock = real_clock
        self._failing = FailingEntries("send_changes")

    def lease_end(self) -> datetime:
        """Return the end of a lease that begins now."""
        return self._real_clock() + LEASE

    async def begin(self, send: Send, change: SendChange) -> Send:
        """Run the first round of a change that was claimed when it was marked, if no other is needed. Return the send
        after it."""
        send = await change.prepare(send)
        remaining = await change.count_remaining(send, COUNTED_IN_CALL_MAX)
        if remaining <= ROUND_SIZE:
            return await self._run(send, change) or send
        is_estimate = remaining >= COUNTED_IN_CALL_MAX
        remaining = max(remaining, send.recipients) if is_estimate else remaining
        return await self._release(send, Round(0, self._real_clock()), remaining, is_estimate=is_estimate) or send

    async def _run_next(self, send: Send, change: SendChange) -> None:
        """Run the next round of a claimed change."""
        await self._run(await change.prepare(send), change)

    async def tick(self, cancellation: SendChange, resumption: SendChange) -> int:
        """Run the next round of each change that is due. Return the number of changes. The status of a send determines
        which change it is."""
        due = await self.changes.list_due(self._real_clock(), self._failing.ids)
        for send in due:
            if claimed := await self.changes.claim(send, self.lease_end()):
                change = cancellation if claimed.status in CANCELLED_STATUSES else resumption
                await self._failing.run(claimed.id, self._run_next(claimed, change))
        return len(due)

    async def _run(self, send: Send, change: SendChange) -> Send | None:
        done = await change.run_round(send)
        if done.next_at is None:
            return await self.changes.finish(send)
        before, remaining = send.remaining, None
        if not done.waiting:
            if before is None or send.remaining_is_estimate:
                remaining = max(1, await change.count_remaining(send, None) - done.recalled)
            else:
                remaining = max(1, before - done.changed)
        return await self._release(send, done, remaining)

    async def _release(
        self, send: Send, done: Round, remaining: int | None, *, is_estimate: bool = False
    ) -> Send | None:
        assert done.next_at
        return await self.changes.release(send, done.next_at, remaining, done.recalled_to, is_estimate=is_estimate)
