"""The resolution of a collapse key: its subject is settled, so its notifications leave the inboxes.

Up to BATCH_SIZE notifications are removed before the call returns. If there are more, the resolution is stored, and the
scheduler removes them. A notification that is created after the call began remains.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.ids import new_id
from hub.inbox.committer import Committer
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.inbox.resolutions import Resolution, Resolutions
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.model import Reason
from hub.platform.failing_entries import FailingEntries
from hub.status.scheduled_sends import ScheduledSends
from hub.utc_time import Clock
from hub.workflows.removal import remove
from hub.workflows.stop_expansion import StopExpansion

BATCH_SIZE = 1000  # notifications that are removed in one round
CHUNK = 200  # mailboxes per transaction; larger transactions would delay other changes
RESOLUTIONS_PER_ROUND = 10


class Resolve:
    def __init__(
        self,
        committer: Committer,
        resolutions: Resolutions,
        scheduled: ScheduledSends,
        stop_expansion: StopExpansion,
        clock: Clock,
    ) -> None:
        self._stop_expansion = stop_expansion
        self._committer = committer
        self._resolutions = resolutions
        self._scheduled = scheduled
        self._clock = clock
        self._failing = FailingEntries("resolutions")

    async def resolve(self, tenant: str, collapse_key: str, users: Sequence[str] | None) -> int:
        """Remove the live notifications with a collapse key from the inboxes of `users`, or of all users of the tenant.
        Return the number of notifications. Sends with this key that have not reached these users skip them."""
        await self._scheduled.resolve(tenant, collapse_key, users)  # first, because a scheduled send may become due
        await self._stop_expansion.resolve(tenant, collapse_key, users)
        now = self._clock()
        resolution = Resolution(
            id=new_id(now),
            tenant=tenant,
            collapse_key=collapse_key,
            started_at=now,
            users=None if users is None else tuple(dict.fromkeys(users)),
        )
        matching = await self._resolutions.count(resolution)
        if matching > BATCH_SIZE:
            await self._resolutions.store(resolution)
        elif matching:
            await self._remove_next(resolution)
        return matching

    async def continue_resolutions(self) -> int:
        """Remove the next batch of each resolution that is not complete. Return the number of resolutions."""
        incomplete = await self._resolutions.list_incomplete(RESOLUTIONS_PER_ROUND, self._failing.ids)
        for resolution in incomplete:
            await self._failing.run(resolution.id, self._continue(resolution))
        return len(incomplete)

    async def _continue(self, resolution: Resolution) -> None:
        if rest := await self._remove_next(resolution):
            await self._resolutions.store(rest)
        else:
            await self._resolutions.delete(resolution)

    async def _remove_next(self, resolution: Resolution) -> Resolution | None:
        """Remove the next batch. Return the resolution of the rest, or None if it is complete."""
        found = await self._resolutions.next_mailboxes(resolution, BATCH_SIZE)
        mailboxes = list(dict.fromkeys(found))
        for start in range(0, len(mailboxes), CHUNK):
            await self._remove(mailboxes[start : start + CHUNK], resolution)
        return replace(resolution, after=mailboxes[-1]) if len(found) == BATCH_SIZE else None

    async def _remove(self, mailboxes: Collection[str], resolution: Resolution) -> None:
        """Remove notifications, except from mailboxes that cannot be decoded."""
        key, until = resolution.collapse_key, resolution.started_at
        try:
            await self._committer.submit(_ResolveWork(mailboxes, key, until))
        except UnreadableMailbox as error:
            if readable := [mailbox for mailbox in mailboxes if mailbox not in error.mailboxes]:
                await self._committer.submit(_ResolveWork(readable, key, until))


class _ResolveWork(WorkDefaults):
    def __init__(self, mailboxes: Collection[str], collapse_key: str, until: datetime) -> None:
        self.mailboxes = mailboxes
        self.collapse_key: str = collapse_key
        self.documents = 2 * len(mailboxes)
        self._until = until

    async def apply(self, unit: UnitOfWork, _: AsyncClientSession) -> None:
        for mailbox in self.mailboxes:
            for n in unit.list_live(mailbox, self.collapse_key):
                if n.created_at <= self._until:
                    remove(unit, n, Reason.RESOLVED)
