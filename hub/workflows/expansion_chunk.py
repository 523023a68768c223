"""One chunk of an expansion: recipients of one part, with the part's checkpoint, in one transaction."""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience.tenants import Tenants
from hub.audience.users import COLLECTION as USERS
from hub.audience.users import lock_existing
from hub.errors import HubError, TooLarge
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import SendStatus
from hub.settings import Settings
from hub.status import expansion_parts, sends
from hub.status.expanding_sends import (
    ExpandingSend,
    ExpandingSends,
    canary_complete_update,
    expanded_update,
    part_complete_update,
)
from hub.status.expansion_parts import ExpansionPart, ExpansionParts
from hub.status.sends import Sends
from hub.utc_time import RealClock
from hub.webhooks import webhook_calls
from hub.workflows.recipients_work import RecipientsWork
from hub.workflows.send_request import DecisionData, SendRequest
from hub.workflows.send_texts import SendIds, SendTexts

GUARD_WAIT_MAX = timedelta(minutes=10)  # for the calls of a canary


class ClaimLost(HubError):
    """Another worker claimed the part, or the send was stopped. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("The part of this expansion was taken.")


class RecipientsMissing(HubError):
    """Recipients were erased after they were listed, or their documents cannot be decoded. `mailboxes`: their keys.
    Nothing was changed."""

    def __init__(self, mailboxes: frozenset[str]) -> None:
        self.mailboxes = mailboxes
        super().__init__("Recipients of this expansion were not found.")


class ChunkStores(Struct, frozen=True):
    """The stores that a chunk reads in its transaction, and the settings that limit it."""

    parts: ExpansionParts
    expanding: ExpandingSends
    sends: Sends
    tenants: Tenants
    settings: Settings
    real_clock: RealClock


class ExpansionChunk(RecipientsWork):
    """The recipients of a chunk are `request.users`. `after`: the part with the checkpoint behind the chunk, and
    without its new recipients. `named`: the key of a user whom the checkpoint names and who is not a recipient of the
    chunk. The transaction conflicts with the erasure of this user, too. `pause`: the time until the next chunk of the
    part. `is_last`: the part is complete with this chunk."""

    low = True
    creates_category = False  # the start of the expansion has created it, or the tenant has too many

    def __init__(
        self,
        stores: ChunkStores,
        of: ExpandingSend,
        request: SendRequest,
        ids: SendIds,
        texts: SendTexts | None,
        after: ExpansionPart,
        named: str | None,
        *,
        pause: timedelta,
        is_last: bool,
    ) -> None:
        resolved = frozenset(of.scheduled.resolved)
        super().__init__(of.send.tenant, request, stores.tenants, stores.settings, ids, texts, resolved, None)
        self.accepted_at = of.send.send_at or of.send.created_at
        self._send = of.send
        self._stores = stores
        self._part = replace(after, recipients=after.recipients + len(self.mailboxes))
        self._named = named
        self._pause = pause
        self._is_last = is_last
        self.is_divisible = bool(self.mailboxes)
        self.exclusive = is_last  # another part of the send that ends in the same transaction would not conflict

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> None:
        """Raise ClaimLost, RecipientsMissing, or TooLarge before the unit is changed."""
        part, stores = self._part, self._stores
        if not await stores.parts.is_claimed(part, session):
            raise ClaimLost
        left = await stores.expanding.parts_left(part.send, session) if self._is_last else None
        if self._is_last and left is None:
            raise ClaimLost
        data: DecisionData = unit.decision_data
        if missing := frozenset(self.mailboxes) - data.users.keys():
            raise RecipientsMissing(missing)
        if self._named:
            if not await stores.parts.has_user(self._named, session):
                raise RecipientsMissing(frozenset({self._named}))
            unit.update(USERS, self._named, *lock_existing([self._named]))
        if self.mailboxes:
            self._store(unit)
            unit.required_users.update(self.mailboxes)
        if left is None:
            update = expansion_parts.checkpoint_update(part, stores.real_clock() + self._pause)
            unit.update(expansion_parts.COLLECTION, part.id, update)
            return
        await self._complete(unit, left, session)

    async def _complete(self, unit: UnitOfWork, left: int, session: AsyncClientSession) -> None:
        part, stores = self._part, self._stores
        now = stores.real_clock()
        if left > 1:
            unit.update(expansion_parts.COLLECTION, part.id, expansion_parts.complete_update(part, None))
            after = part_complete_update(part.send)
            if part.canary:
                after = canary_complete_update(part.send, now, now + GUARD_WAIT_MAX)
            unit.update(sends.COLLECTION, part.send, after)
            return
        counts = await stores.parts.count_by_part(part.send, session)
        for id in counts.keys() - {part.id}:
            unit.update(expansion_parts.COLLECTION, id, expansion_parts.ended_update(id, now))
        unit.update(expansion_parts.COLLECTION, part.id, expansion_parts.complete_update(part, now))
        recipients = sum((counts | {part.id: part.recipients}).values())
        expires_at = self._request.expires_at
        expired = expires_at is not None and expires_at <= unit.now and not recipients
        status = SendStatus.EXPIRED if expired else SendStatus.ACCEPTED
        unit.update(sends.COLLECTION, part.send, expanded_update(part.send, recipients, status))
        send = replace(self._send, status=status, recipients=recipients)
        tenant = await stores.tenants.get(send.tenant)  # an endpoint may be new
        for call in webhook_calls.calls_for_expanded(send, tenant.endpoints, unit.now):
            unit.insert(webhook_calls.COLLECTION, call)

    def check_estimate(self) -> None:
        """Raise TooLarge if the chunk does not fit in one transaction, unless it has only one recipient."""
        settings = self._stores.settings
        too_large = self.documents > settings.commit_max_documents or self.size > settings.commit_max_bytes
        if too_large and len(self.mailboxes) > 1:
            raise TooLarge("This chunk is too large for one transaction.")
