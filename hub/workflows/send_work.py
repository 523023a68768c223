"""The work of the group commit that decides one send and stores it in one transaction."""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.tenants import Tenants
from hub.errors import HubError
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import Send, document
from hub.settings import Settings
from hub.status import sends
from hub.status.scheduled_sends import ScheduledSend, ScheduledSends, published_update
from hub.workflows.idempotency import IdempotencyKey
from hub.workflows.recipients_work import RecipientsWork
from hub.workflows.send_request import SendRequest
from hub.workflows.send_texts import SendIds, SendTexts


class DueSend(Struct, frozen=True):
    """A scheduled send that is due, and the store that contains it."""

    send: ScheduledSend
    store: ScheduledSends


class SendWork(RecipientsWork):
    """One send: its record and the documents of its recipients. `due` is set if the send was scheduled."""

    def __init__(
        self,
        tenant: str,
        request: SendRequest,
        key: IdempotencyKey | None,
        tenants: Tenants,
        settings: Settings,
        ids: SendIds,
        texts: SendTexts | HubError | None = None,
        due: DueSend | None = None,
        field: str = "input",
    ) -> None:
        self._due = due
        self._error = texts if isinstance(texts, HubError) else None
        super().__init__(
            tenant,
            replace(request, users=()) if self._error else request,
            tenants,
            settings,
            ids,
            None if isinstance(texts, HubError) else texts,
            frozenset(due.send.scheduled.resolved if due else ()),
            timedelta(seconds=settings.requeue_after_s),
            field,
        )
        self.low = due is not None
        self._key = key
        self.keys = (key.id,) if key else ()

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> Send | str | None:
        """Return the new send, or the id of the send that was created earlier with this key. Return None if a scheduled
        send was changed in the meantime."""
        if self._key and (first := self._key.first_send(unit)):
            return first
        if self._error:
            raise self._error
        if self._due and not await self._due.store.is_unchanged(self._due.send, session):
            return None
        documents, category = self._store(unit)
        if self._key:
            self._key.record(unit, self._ids.send)
        send = documents.record(category)
        if self._due:
            unit.update(sends.COLLECTION, send.id, published_update(send))
        else:
            unit.insert(sends.COLLECTION, document(send))
        return send
