"""The expansion of sends that name no users: workers list the recipients, and store their notifications in chunks.

Guarantees
- A chunk is one transaction: the notifications, receipts, and deliveries of its recipients, and the checkpoint of their
  part. A killed worker neither loses nor repeats a recipient.
- A send leaves EXPANDING in the transaction that completes its last part.
- An expansion creates no users. A user who joins while it runs is included, unless the checkpoint is behind the user.

When chunks run
- Every worker runs PARTS_AT_ONCE of these tasks. Each turn claims a part for one chunk: by priority, and then of each
  tenant in turn.
- A chunk is a work of LOW rank. It has at most CHUNK_SIZE recipients, and what fits in one transaction.
- While CRITICAL or HIGH sends to named users arrive, a worker runs one chunk at a time, with at most
  YIELDING_CHUNK_SIZE recipients, and pauses after it for as long as it took.
- If a chunk conflicts twice with other changes, its first half is tried. A recipient who conflicts alone is set aside,
  and tried between later chunks, so one busy user does not stop the others. The same applies to a recipient whose
  transaction fails otherwise. While no recipient succeeds, the pauses between attempts grow, and the send is marked.
- A chunk ends before the recipients whose texts could not be rendered in RENDER_MAX_S. A text is rendered once for all
  attempts.
- No chunk runs while the oplog of MongoDB is full and covers less than HUB_OPLOG_HOURS.

If a worker stops or is killed during a chunk, its claim expires after RENDER_MAX_S and LEASE_DEADLINES times the commit
deadline.
"""

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from pymongo.errors import PyMongoError

from hub.audience.recipients import Recipients, RecipientSlice
from hub.audience.users import Users
from hub.decide.failure_guard import Canary
from hub.errors import Unavailable
from hub.inbox.committer import Committer
from hub.inbox.mailbox_decoding import UnreadableMailbox
from hub.inbox.works import Contended
from hub.model import Send, user_of
from hub.platform.connections import is_outage
from hub.platform.oplog import Oplog
from hub.platform.urgent_sends import UrgentSends
from hub.status.expanding_sends import ExpandingSend
from hub.status.expansion_parts import ExpansionPart, pause_after
from hub.utc_time import Clock
from hub.workflows.expansion_chunk import ChunkStores, ClaimLost, ExpansionChunk, RecipientsMissing
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import SendIds, SendTextRenderer, SendTexts
from hub.workflows.stop_expansion import StopExpansion

PARTS_AT_ONCE = 3  # per process; two are in transactions, and one is being prepared
CHUNK_SIZE = 200  # recipients
YIELDING_CHUNK_SIZE = 50  # while urgent sends arrive
SET_ASIDE_MAX = 100  # recipients of a part
SET_ASIDE_SHARE = 0.5  # of the turns of a part, if it has recipients that were set aside
CONTENDED_PAUSE = timedelta(seconds=0.5)
FAILED_PAUSE = timedelta(seconds=10)
FAILURES_SHOWN = 2  # consecutive failures after which `Send.reason` is set
LEASE_DEADLINES = 2

log = structlog.get_logger(__name__)


class _Chunk(Struct, frozen=True):
    """A claimed part and the keys of its next recipients. `after`: the checkpoint behind them. `exhausted`: no others
    follow. `retried`: the recipient was set aside before."""

    of: ExpandingSend
    request: SendRequest
    part: ExpansionPart
    keys: Sequence[str]
    after: str
    exhausted: bool
    retried: bool = False

    def without(self, keys: Collection[str]) -> "_Chunk":
        return replace(self, keys=[key for key in self.keys if key not in keys])

    def without_erased(self, keys: Collection[str]) -> "_Chunk":
        """Return the chunk with a checkpoint that names none of the erased users."""
        rest = self.without(keys)
        return replace(rest, after=rest.keys[-1] if rest.keys else self.part.after)

    def part_behind(self, size: int) -> ExpansionPart:
        """Return the part with the checkpoint behind the first `size` recipients."""
        if self.retried:
            return replace(self.part, set_aside=self.part.set_aside[1:])
        if size < len(self.keys):
            return replace(self.part, after=self.keys[size - 1])
        return replace(self.part, after=self.after, exhausted=self.exhausted)


class _ChunkTexts:
    """The ids and texts of the notifications of a chunk, which are the same in each attempt."""

    def __init__(self, renderer: SendTextRenderer, chunk: _Chunk, now: datetime) -> None:
        self._renderer = renderer
        self._ids = replace(SendIds.create(len(chunk.keys), now), send=chunk.of.send.id)
        self._notifications = dict(zip(chunk.keys, self._ids.notifications, strict=True))
        self._texts: SendTexts | None = None

    async def render(self, chunk: _Chunk, size: int) -> tuple[SendRequest, SendIds, SendTexts | None]:
        """Return the request, the ids, and the texts of the first recipients of a chunk: `size`, or those whose texts
        could be rendered."""
        send, keys = chunk.of.send, chunk.keys[:size]
        request = replace(chunk.request, users=tuple(user_of(key) for key in keys))
        ids = replace(self._ids, notifications=tuple(self._notifications[key] for key in keys))
        if not keys or not request.template:
            return request, ids, None
        if self._texts is None:
            self._texts = await self._renderer.load_recorded(send, request, ids.created_at)
        texts, count = await self._renderer.render_first(self._texts, send.tenant, request, ids)
        ids = replace(ids, notifications=ids.notifications[:count])
        return replace(request, users=request.users[:count]), ids, texts


class Expansions:
    def __init__(
        self,
        recipients: Recipients,
        users: Users,
        committer: Committer,
        renderer: SendTextRenderer,
        stores: ChunkStores,
        stopping: StopExpansion,
        oplog: Oplog,
        urgent: UrgentSends,
        clock: Clock,
    ) -> None:
        self._recipients = recipients
        self._users = users
        self._committer = committer
        self._renderer = renderer
        self._stores = stores
        self._parts = stores.parts
        self._stopping = stopping
        self._oplog = oplog
        self._urgent = urgent
        self._yielding = asyncio.Lock()
        self._clock = clock
        self._last_tenant = ""

    async def turn(self) -> int:
        """Expand one chunk of the part whose turn it is. Return 0 if no part waits."""
        if await self._oplog.is_short():
            return 0
        if not self._urgent.are_arriving():
            return await self._expand_chunk(CHUNK_SIZE)
        async with self._yielding:
            started_s = time.monotonic()
            expanded = await self._expand_chunk(YIELDING_CHUNK_SIZE)
            await asyncio.sleep(time.monotonic() - started_s)
        return expanded

    async def _expand_chunk(self, size: int) -> int:
        part = await self._parts.claim(self._last_tenant)
        if part is None:
            return 0
        self._last_tenant = part.tenant
        try:
            await self._run(part, size)
        except ClaimLost:
            log.info("expansion_claim_lost", part=part.id)
        except Exception as error:
            if _is_outage(error):
                await self._parts.postpone(part, FAILED_PAUSE)
            else:
                await self._postpone_failed(replace(part, failures=part.failures + 1))
            raise
        return 1

    async def _run(self, part: ExpansionPart, size_max: int) -> None:
        of = await self._stores.expanding.get(part.send)
        if of is None:
            await self._stopping.complete(part)
            await self._parts.postpone(part, FAILED_PAUSE)
            return
        chunk = await self._next_chunk(part, of, size_max)
        texts, size = _ChunkTexts(self._renderer, chunk, self._clock()), len(chunk.keys)
        while True:
            try:
                await self._commit(chunk, texts, size)
            except RecipientsMissing as error:
                unreadable = await self._users.find_stored(error.mailboxes)
                if unreadable:
                    chunk = _without_unreadable(chunk, unreadable)
                if erased := error.mailboxes - unreadable:
                    chunk = chunk.without_erased(erased)
            except UnreadableMailbox as error:
                chunk = _without_unreadable(chunk, error.mailboxes)
            except Exception as error:
                if isinstance(error, ClaimLost) or _is_outage(error) or size == 0:
                    raise
                if size == 1:
                    await self._set_aside(chunk, texts, error)
                    return
                size //= 2
            else:
                return
            size = min(size, len(chunk.keys))

    async def _next_chunk(self, part: ExpansionPart, of: ExpandingSend, size: int) -> _Chunk:
        """Return the next recipients of a part, or one who was set aside."""
        request = msgspec.json.decode(of.scheduled.request, type=SendRequest)
        if request.expires_at and request.expires_at <= self._clock():
            return _Chunk(of, request, replace(part, set_aside=()), (), part.after, exhausted=True)
        may_retry = not part.failures or len(part.set_aside) >= SET_ASIDE_MAX
        is_turn = may_retry and random.random() < SET_ASIDE_SHARE  # noqa: S311 - not a secret
        if part.set_aside and (part.exhausted or is_turn):
            return _Chunk(of, request, part, part.set_aside[:1], part.after, part.exhausted, retried=True)
        found = await self._list_recipients(part, of.send, request, size)
        excluded = set(of.send.excluded)
        keys = [key for key in found.keys if user_of(key) not in excluded]
        after = found.position or part.after
        if keys and (found.position is None or found.position == found.keys[-1]):
            after = keys[-1]  # a recipient: the transaction conflicts with the erasure of its recipients
        return _Chunk(of, request, part, keys, after, exhausted=found.position is None)

    async def _list_recipients(
        self, part: ExpansionPart, send: Send, request: SendRequest, size: int
    ) -> RecipientSlice:
        """Return the next recipients of a part. Users who have got the send with its canary are left out. Those who
        joined later are not, although they would have been in the canary."""
        assert request.audience
        canary = Canary(send.id, send.canary_below) if send.canary_below is not None else None
        if canary and part.canary:
            return await self._recipients.list_canary(request.audience, canary, part.after, part.end, size)
        found = await self._recipients.list_slice(request.audience, part.after, part.end, size)
        chosen = [key for key in found.keys if canary and canary.includes(key)]
        reached = await self._stores.sends.find_recipients(send, chosen) if chosen else ()
        return replace(found, keys=[key for key in found.keys if key not in reached]) if reached else found

    async def _commit(self, chunk: _Chunk, texts: _ChunkTexts, size: int) -> None:
        """Commit the notifications of the first recipients, and the part with its new checkpoint."""
        part = chunk.part
        request, ids, rendered = await texts.render(chunk, size)
        count = len(request.users)
        behind = replace(chunk.part_behind(count), failures=0 if count else part.failures)
        named = behind.after if behind.after not in (*chunk.keys[:count], part.after) else None
        await self._submit(chunk, request, ids, rendered, behind, named)
        is_marked = part.failures or chunk.of.send.failing
        if count and is_marked and not await self._parts.are_failing(part.send, FAILURES_SHOWN):
            await self._stores.expanding.mark_failing(part.send, failing=False)

    async def _submit(
        self,
        chunk: _Chunk,
        request: SendRequest,
        ids: SendIds,
        texts: SendTexts | None,
        behind: ExpansionPart,
        named: str | None = None,
        pause: timedelta = timedelta(),
    ) -> None:
        send = chunk.of.send
        await self._stores.tenants.get(send.tenant)  # the work uses the cached tenant
        is_last = behind.exhausted and not behind.set_aside
        work = ExpansionChunk(self._stores, chunk.of, request, ids, texts, behind, named, pause=pause, is_last=is_last)
        await self._committer.submit(work)
        if is_last:
            await self._stores.sends.record_users([send.id])  # of a small send that is complete

    async def _set_aside(self, chunk: _Chunk, texts: _ChunkTexts, error: Exception) -> None:
        """Set a recipient aside whose transaction conflicted or failed. If that is not possible, try again later."""
        part = chunk.part
        failed = not isinstance(error, Contended)
        if failed:
            part = replace(part, failures=part.failures + 1)
            traceback = not isinstance(error, PyMongoError)
            log.warning("expansion_failed", part=part.id, failures=part.failures, error=error, exc_info=traceback)
        skipped = part.canary  # another part has this recipient, too
        if chunk.retried and not skipped:
            part = replace(part, set_aside=(*part.set_aside[1:], part.set_aside[0]))
        elif skipped or len(part.set_aside) < SET_ASIDE_MAX:
            key = chunk.keys[0]
            behind = replace(chunk.part_behind(1), failures=part.failures)
            if not skipped:
                behind = replace(behind, set_aside=(*part.set_aside, key))
            pause = pause_after(part.failures) if failed else timedelta()
            await self._submit(chunk, *await texts.render(chunk, 0), behind, pause=pause)
            for named in {key, behind.after}:  # not recipients, so the erasure does not conflict
                await self._parts.erase_missing(named)
            await self._show_failures(part)
            return
        if failed:
            await self._postpone_failed(part)
        else:
            is_alone = part.exhausted or not chunk.retried
            await self._parts.postpone(part, CONTENDED_PAUSE if is_alone else timedelta())

    async def _postpone_failed(self, part: ExpansionPart) -> None:
        await self._parts.postpone(part, pause_after(part.failures))
        await self._show_failures(part)

    async def _show_failures(self, part: ExpansionPart) -> None:
        if part.failures >= FAILURES_SHOWN:
            await self._stores.expanding.mark_failing(part.send, failing=True)


def _is_outage(error: Exception) -> bool:
    """Return True if the store is unavailable."""
    return isinstance(error, Unavailable) or (isinstance(error, PyMongoError) and is_outage(error))


def _without_unreadable(chunk: _Chunk, keys: Collection[str]) -> _Chunk:
    """Return the chunk without recipients whose documents this version cannot decode. They do not get the send."""
    log.warning("expansion_recipients_left_out", send=chunk.part.send, recipients=len(keys))
    return chunk.without(keys)
