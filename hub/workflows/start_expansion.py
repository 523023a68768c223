"""The start of an expansion: the record of a send that names no users, and the parts that workers expand."""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.recipients import RecipientParts, Recipients
from hub.audience.tenants import COLLECTION as TENANTS
from hub.audience.tenants import Tenants, default_category
from hub.decide.failure_guard import canary_below
from hub.errors import HubError, RateLimited
from hub.inbox import idempotency_records
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.works import WorkDefaults
from hub.model import Category, Channel, Priority, Send, SendStatus, document
from hub.platform.connections import Database
from hub.settings import Settings
from hub.status import expansion_parts, sends
from hub.status.expanding_sends import ExpandingSends, expanding_document, expanding_update
from hub.utc_time import RealClock
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.send_documents import SendDocuments
from hub.workflows.send_request import SendRequest, request_text
from hub.workflows.send_texts import SendIds, SendTexts
from hub.workflows.send_work import DueSend
from hub.workflows.waiting_sends import add_preparing, must_prepare, waiting_record

EXPANSIONS_MAX = 50  # of a tenant at once
RETRY_AFTER_S = 60.0


class NewExpansion(Struct, frozen=True):
    """What an expansion is started with. `due` is set if the send waited."""

    request: SendRequest
    ids: SendIds
    texts: SendTexts | HubError | None
    key: IdempotencyKey | None = None
    due: DueSend | None = None


class StartExpansion:
    def __init__(
        self,
        database: Database,
        recipients: Recipients,
        expanding: ExpandingSends,
        tenants: Tenants,
        settings: Settings,
        real_clock: RealClock,
    ) -> None:
        self._idempotency_records = database[idempotency_records.COLLECTION]
        self.recipients = recipients
        self.expanding = expanding
        self.tenants = tenants
        self.settings = settings
        self.real_clock = real_clock

    async def check(self, tenant: str, request: SendRequest, field: str) -> None:
        """Raise NotFound if the topic of the request does not exist. `field` is the path of the input."""
        if request.audience:
            await self.recipients.check(tenant, request.audience, field)

    async def find_first(self, key: IdempotencyKey) -> str | None:
        """Return the id of the send that was created earlier with this key, so its recipients are not counted again.
        Raise Conflict if its request was different. The transaction also checks the key."""
        return key.send_of(await self._idempotency_records.find_one({"_id": key.id}))

    async def check_limit(self, tenant: str) -> None:
        """Raise RateLimited if too many sends of a tenant are being expanded."""
        _check_limit(await self.expanding.count(tenant, EXPANSIONS_MAX))

    async def count_in(self, unit: UnitOfWork, session: AsyncClientSession, tenant: str, due: DueSend | None) -> None:
        """Raise RateLimited if too many sends of a tenant are being expanded or are PREPARING for it. A send that was
        PREPARING has been counted already, so only those that are being expanded count for it."""
        count = await self.expanding.count(tenant, EXPANSIONS_MAX, session)
        if due is None or due.send.status is not SendStatus.PREPARING:
            count += await self.expanding.count_preparing(tenant, EXPANSIONS_MAX, session)
        _check_limit(count)
        unit.update(TENANTS, tenant, self.tenants.lock_update(tenant))  # other processes count, too

    async def work(self, tenant: str, new: NewExpansion) -> "StartExpansionWork | PrepareWork":
        """Return the work that stores a send with an audience, or that lets it wait for its enrichment."""
        assert new.request.audience
        category = (await self.tenants.get(tenant)).category(new.request.category)  # the work uses the cached tenant
        if category and must_prepare(category, new.request):
            return PrepareWork(self, tenant, new, category)
        return StartExpansionWork(self, tenant, new, await self.recipients.divide(tenant, new.request.audience))


def _check_limit(count: int) -> None:
    if count >= EXPANSIONS_MAX:
        raise RateLimited(
            f"{EXPANSIONS_MAX} sends of this tenant are being expanded. Wait until one is complete.", RETRY_AFTER_S
        )


class PrepareWork(WorkDefaults):
    """Stores the record of a send that is PREPARING."""

    exclusive = True  # as below
    mailboxes = ()
    documents = 2

    def __init__(self, start: StartExpansion, tenant: str, new: NewExpansion, category: Category) -> None:
        self._start = start
        self._tenant = tenant
        self._new = new
        self._category = category
        self.keys = (new.key.id,) if new.key else ()
        self.size = len(request_text(new.request))

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Send | str | None:
        """Return what `StartExpansionWork.apply` returns."""
        new, request = self._new, self._new.request
        if new.key and (first := new.key.first_send(unit)):
            return first
        if isinstance(new.texts, HubError):
            raise new.texts
        if new.due and not await new.due.store.is_unchanged(new.due.send, session):
            return None
        await self._start.count_in(unit, session, self._tenant, new.due)
        if new.key:
            new.key.record(unit, new.ids.send)
        priority = request.priority or self._category.priority
        send = waiting_record(self._tenant, new.ids.send, request, new.texts, SendStatus.PREPARING, priority)
        queued = timedelta(seconds=self._start.settings.requeue_after_s)
        add_preparing(unit, send, request, self._category, queued, was_scheduled=new.due is not None)
        return send


class StartExpansionWork(WorkDefaults):
    """Stores the record of a send and its parts."""

    exclusive = True  # the expansions that this process starts are counted one after another
    mailboxes = ()

    def __init__(self, start: StartExpansion, tenant: str, new: NewExpansion, parts: RecipientParts) -> None:
        self._start = start
        self._tenant = tenant
        self._new = new
        self._parts = parts
        self._text = request_text(new.request)
        self.low = new.due is not None and new.due.send.status is SendStatus.SCHEDULED
        self.keys = (new.key.id,) if new.key else ()
        self.documents = len(parts.boundaries)
        self.size = len(self._text)

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Send | str | None:
        """Return the new send, or the id of the send that was created earlier with this key. Return None if a send that
        waited was changed in the meantime."""
        new, start = self._new, self._start
        if new.key and (first := new.key.first_send(unit)):
            return first
        if isinstance(new.texts, HubError):
            raise new.texts
        if new.due and not await new.due.store.is_unchanged(new.due.send, session):
            return None
        await start.count_in(unit, session, self._tenant, new.due)
        tenant = start.tenants.cached(self._tenant)
        category = tenant.category(new.request.category)
        if category is None:
            update = start.tenants.create_category_update(tenant, new.request.category)
            unit.update(TENANTS, f"{tenant.id}/{new.request.category}", update)
            category = default_category(new.request.category)
        if new.key:
            new.key.record(unit, new.ids.send)
        guarded = self._is_guarded(category)
        priority, boundaries = new.request.priority or category.priority, self._parts.boundaries
        parts = expansion_parts.new_parts(
            new.ids.send, self._tenant, priority, boundaries, start.real_clock(), guarded=guarded
        )
        for part in parts:
            unit.insert(expansion_parts.COLLECTION, document(part))
        send = replace(
            SendDocuments(self._tenant, new.request, new.ids, new.texts).record(category),
            status=SendStatus.EXPANDING,
            total=self._parts.total,
            parts_left=len(parts),
            guarded=guarded,
            # a large send whose number is underestimated has at least the canary of the smallest guarded one
            canary_below=canary_below(max(self._parts.total, start.settings.guard_recipients + 1)) if guarded else None,
            recipient_ids=None,
        )
        if new.due:
            unit.update(sends.COLLECTION, send.id, expanding_update(send))
        else:
            unit.insert(sends.COLLECTION, expanding_document(send, self._text))
        return send

    def _is_guarded(self, category: Category) -> bool:
        """Return True if the send is large or may be, and has a channel on which the first calls may fail."""
        request, settings = self._new.request, self._start.settings
        leaving = settings.configured.intersection(request.requested.channels_in(category)) - {Channel.IN_APP}
        urgent = (request.priority or category.priority) is Priority.CRITICAL
        return request.guard and not urgent and bool(leaving) and self._parts.total_max > settings.guard_recipients
