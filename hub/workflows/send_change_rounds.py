"""The rounds of a change of a whole send: cancellation, recall, or resumption.

- The change is marked in the record of the send first. The first round runs before the call returns. Most sends need no
  other.
- Further rounds are run by the scheduler, one for each send in turn, so a large send does not delay the others.
- A round is claimed with a lease. After a process was killed, another one continues when the lease ends. A round that
  runs twice does no harm.
- `Send.remaining` is the number of documents that are left, until nothing is left.
"""

from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Send, SendStatus
from hub.platform.failing_entries import FailingEntries
from hub.status.send_changes import SendChanges
from hub.utc_time import RealClock

ROUND_SIZE = 1000  # documents that a round changes
LEASE = timedelta(seconds=10)
CANCELLED_STATUSES = (SendStatus.CANCELLED, SendStatus.RECALLED)


class Round(Struct, frozen=True):
    """The result of a round. `changed`: the number of documents. `next_at`: the real time of the next round, or None if
    the change is complete. `waiting`: True if nothing is left to do until then. `recalled_to`: see `Send`."""

    changed: int
    next_at: datetime | None = None
    waiting: bool = False
    recalled_to: str = ""


class SendChange(Protocol):
    async def run_round(self, send: Send) -> Round:
        """Change up to about ROUND_SIZE documents of a send."""
        ...

    async def count_remaining(self, send: Send, changed: int) -> int:
        """Return an estimate of the number of documents that are left. `changed`: the result of the first round."""
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
        """Run the first round of a change that was claimed when it was marked. Return the send after it."""
        return await self._run(send, change) or send

    async def tick(self, cancellation: SendChange, resumption: SendChange) -> int:
        """Run the next round of each change that is due. Return the number of changes. The status of a send determines
        which change it is."""
        due = await self.changes.list_due(self._real_clock(), self._failing.ids)
        for send in due:
            if claimed := await self.changes.claim(send, self.lease_end()):
                change = cancellation if claimed.status in CANCELLED_STATUSES else resumption
                await self._failing.run(claimed.id, self._run(claimed, change))
        return len(due)

    async def _run(self, send: Send, change: SendChange) -> Send | None:
        done = await change.run_round(send)
        if done.next_at is None:
            return await self.changes.finish(send)
        before, remaining = send.remaining, None
        if not done.waiting:
            after = replace(send, recalled_to=done.recalled_to)
            if before is None:
                remaining = await change.count_remaining(after, done.changed)
            else:
                remaining = max(1, before - done.changed)
        return await self.changes.release(send, done.next_at, remaining, done.recalled_to)
