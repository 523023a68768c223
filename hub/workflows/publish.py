"""The publishing of sends. A send that names its users is stored in one transaction, and `after_commit` starts its
deliveries. Workers expand the other ones. A send of a category with enrichment is PREPARING first."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from hub.audience.tenants import Tenants
from hub.enrichment.jobs import EnrichmentJobs
from hub.errors import Conflict, HubError
from hub.inbox.committer import Committer
from hub.model import Priority, Send, SendStatus
from hub.platform.urgent_sends import UrgentSends
from hub.settings import Settings
from hub.status import sends
from hub.status.scheduled_sends import ScheduledSend, ScheduledSends
from hub.utc_time import Clock
from hub.workflows.channel_use_recorder import ChannelUseRecorder
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.schedules import ScheduleWork
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import SendIds, SendTextRenderer, SendTexts
from hub.workflows.send_work import DueSend, SendWork
from hub.workflows.start_expansion import NewExpansion, StartExpansion
from hub.workflows.waiting_sends import must_prepare

URGENT = frozenset({Priority.CRITICAL, Priority.HIGH})


class Published(Struct, frozen=True):
    send: Send
    duplicate: bool


class Publish:
    """Publishes sends. Each method returns after the commit."""

    def __init__(
        self,
        committer: Committer,
        records: sends.Sends,
        scheduled: ScheduledSends,
        tenants: Tenants,
        text_renderer: SendTextRenderer,
        start_expansion: StartExpansion,
        urgent: UrgentSends,
        enrichment_jobs: EnrichmentJobs,
        channel_use: ChannelUseRecorder,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._channel_use = channel_use
        self._clock = clock
        self._committer = committer
        self._records = records
        self._scheduled = scheduled
        self._tenants = tenants
        self._text_renderer = text_renderer
        self._start_expansion = start_expansion
        self._urgent = urgent
        self._enrichment_jobs = enrichment_jobs
        self._settings = settings

    async def send(
        self, tenant: str, request: SendRequest, key: str | IdempotencyKey | None, field: str = "input"
    ) -> Published:
        """Publish a send. A repeated request with the same `key` changes nothing and returns the first send. `field` is
        the path of the input in errors. A send with a later `send_at` is stored, and published when it is due.

        Raise Conflict if `key` was used for another request, TooLarge if the send does not fit in one transaction, or
        NotFound or BadUserInput if its topic or template does not exist or cannot be rendered."""
        now = self._clock()
        await self._start_expansion.check(tenant, request, field)
        if request.priority in URGENT and not request.audience:
            self._urgent.mark()
        is_due = request.send_at is None or request.send_at <= now
        ids = SendIds.create(len(request.users), now)
        texts: SendTexts | HubError | None = None
        if request.template:
            try:
                texts = await self._render(tenant, request, ids, field)
            except HubError as error:
                if key is None:
                    raise
                texts = error  # returned unless `key` was used before: the template may have changed since then
        idempotency_key = IdempotencyKey.of(tenant, key, request) if isinstance(key, str) else key
        if is_due and request.audience:
            result = await self._expand(tenant, NewExpansion(request, ids, texts, idempotency_key))
        else:
            work = SendWork(tenant, request, idempotency_key, self._tenants, self._settings, ids, texts, field=field)
            if is_due:
                result = await self._committer.submit(work)
            else:
                work.check_estimate()
                result = await self._committer.submit(ScheduleWork(tenant, ids.send, request, idempotency_key, texts))
        assert result is not None  # only a due send has no result
        self._channel_use.note(tenant, request)
        if isinstance(result, Send):
            self._enqueue(result)
            return Published(result, duplicate=False)
        first = await self._records.get(tenant, result)
        if first is None:
            raise Conflict("This idempotency key belongs to a send that was erased. Use a new key.")
        return Published(first, duplicate=True)

    async def _expand(self, tenant: str, new: NewExpansion) -> Send | str | None:
        """Start an expansion. Return the new send, or the id of the send that was created earlier with its key."""
        if new.key and (first := await self._start_expansion.find_first(new.key)):
            return first
        return await self._committer.submit(await self._start_expansion.work(tenant, new))

    async def send_due(self, scheduled: ScheduledSend, request: SendRequest) -> bool:
        """Publish a send that waited, or let it wait for its enrichment. Return False if it was changed in the
        meantime."""
        due = DueSend(scheduled, self._scheduled)
        now, tenant = self._clock(), scheduled.tenant
        ids = replace(SendIds.create(len(request.users), now), send=scheduled.id)
        texts = await self._render(tenant, request, ids, "input") if request.template else None
        if request.audience:
            result = await self._expand(tenant, NewExpansion(request, ids, texts, due=due))
        else:
            await self._tenants.get(tenant)  # the work uses the cached tenant
            work = SendWork(tenant, request, None, self._tenants, self._settings, ids, texts, due)
            result = await self._committer.submit(work)
        if isinstance(result, Send):
            self._enqueue(result)
        return result is not None

    async def _render(self, tenant: str, request: SendRequest, ids: SendIds, field: str) -> SendTexts:
        """Return the texts of a send, before any is rendered for a recipient if the send has to be enriched first."""
        if must_prepare(self._tenants.cached(tenant).category(request.category), request):
            return await self._text_renderer.load(tenant, request, ids.created_at, field)
        return await self._text_renderer.render(tenant, request, ids, field)

    def _enqueue(self, send: Send) -> None:
        if send.status is SendStatus.PREPARING and send.priority:
            self._enrichment_jobs.enqueue(send.id, send.tenant, send.priority)

    async def send_many(
        self, tenant: str, requests: Sequence[tuple[SendRequest, str | None, str]]
    ) -> list[Published | BaseException]:
        """Publish sends independently, each with its key and the path of its input. Return the result or the error of
        each send."""
        return await asyncio.gather(
            *(self.send(tenant, request, key, field) for request, key, field in requests), return_exceptions=True
        )
