"""Conductor: audience -> decide -> inbox and status in one transaction. Telling comes with the commit."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.decide.plan import DEFAULT_PRIORITY, Plan, plan
from hub.errors import Conflict, TooLarge
from hub.ids import made_at, new_id
from hub.inbox.committer import Committer
from hub.inbox.draft import Draft
from hub.model import (
    Channel,
    Content,
    DeliveryStatus,
    Notification,
    Priority,
    Send,
    SendStatus,
    document,
    mailbox_of,
)
from hub.status import receipts, sends

NOTIFICATION_BYTES = 1024  # of a notification beside what its sender wrote, with one receipt
RECEIPT_BYTES = 400


class SendRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A send as its caller asked for it, checked. `data` is JSON text; `users` holds everyone once. What has its
    default is not part of the hash that idempotency compares, so that a new field makes no old request another."""

    users: tuple[str, ...]
    category: str
    content: Content
    data: str | None = None
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    channels: tuple[Channel, ...] | None = None
    expires_at: datetime | None = None
    require_ack: bool = False


class Published(Struct, frozen=True):
    send: Send
    duplicate: bool


class Publish:
    """Sends are answered once they are committed."""

    def __init__(self, committer: Committer, records: sends.Sends, size_max: int) -> None:
        self._committer = committer
        self._size_max = size_max
        self._records = records

    async def send(self, tenant: str, request: SendRequest, key: str | None) -> Published:
        """Conflict if `key` came before with another request. The same request again changes nothing and answers with
        the first send. TooLarge for what one transaction can't hold."""
        work = _Deliver(tenant, request, plan(request.channels, request.priority), key)
        if work.size > self._size_max:
            fewer = max(1, self._size_max * work.documents // work.size)
            raise TooLarge(
                f"This is too much for one transaction (HUB_COMMIT_MAX_BYTES, {self._size_max}): with content of this "
                f"size name at most {fewer} users a call, or link to what `data` holds."
            )
        first = await self._committer.submit(work)
        if isinstance(first, Send):
            return Published(first, duplicate=False)
        known = await self._records.get(tenant, first)
        if known is None:
            raise Conflict("This idempotency key belongs to a send that was erased: use a fresh key.")
        return Published(known, duplicate=True)

    async def send_many(
        self, tenant: str, requests: Sequence[tuple[SendRequest, str | None]]
    ) -> list[Published | BaseException]:
        """Each by itself: one that fails does not hold back the others."""
        return await asyncio.gather(
            *(self.send(tenant, request, key) for request, key in requests), return_exceptions=True
        )


class _Deliver:
    """One send into the inboxes of its recipients, with its record and its receipts."""

    alone = False
    reads: tuple[str, ...] = ()

    def __init__(self, tenant: str, request: SendRequest, plan: Plan, key: str | None) -> None:
        self._tenant = tenant
        self._request = request
        self._plan = plan
        self._key = f"{tenant}/{key}" if key else None
        self._hash = _hash(request) if key else ""
        self._id = new_id()
        self._ids = [new_id() for _ in request.users]  # the same in every attempt
        self.mailboxes = [mailbox_of(tenant, user) for user in request.users]
        self.keys = (self._key,) if self._key else ()
        self.documents = len(request.users)
        said = len(msgspec.json.encode((request.content, request.tags, request.data)))
        self.size = self.documents * (NOTIFICATION_BYTES + said + RECEIPT_BYTES * len(plan.skipped))

    async def apply(self, draft: Draft, _: AsyncClientSession) -> Send | str:
        """The send that was made, or the id of the one that this key made before."""
        request, plan, now = self._request, self._plan, draft.now
        if self._key:
            if known := draft.answered.get(self._key):
                return _known(known, self._hash)
            answer = {"_id": self._key, "hash": self._hash, "send": self._id, "at": now}
            draft.answered[self._key] = answer
            draft.insert("idempotency", answer)
        content = request.content
        for id, mailbox in zip(self._ids, self.mailboxes, strict=True):
            n = draft.add(
                Notification(
                    id=id,
                    mailbox=mailbox,
                    send=self._id,
                    category=request.category,
                    title=content.title,
                    body=content.body,
                    image_url=content.image_url,
                    action_url=content.action_url,
                    actions=content.actions,
                    data=request.data,
                    tags=request.tags,
                    priority=plan.priority,
                    because=plan.because,
                    require_ack=request.require_ack,
                    expires_at=request.expires_at,
                    hidden=plan.hidden,
                    skipped=plan.skipped,
                    created_at=now,
                    updated_at=now,
                )
            )
            if not n.hidden:
                draft.insert(
                    receipts.COLLECTION, receipts.of_delivery(n, Channel.IN_APP, DeliveryStatus.DELIVERED, now)
                )
            for channel, reason in plan.skipped.items():
                draft.insert(
                    receipts.COLLECTION,
                    receipts.of_delivery(n, Channel(channel), DeliveryStatus.SKIPPED, now, reason),
                )
        send = Send(
            id=self._id,
            tenant=self._tenant,
            category=request.category,
            status=SendStatus.ACCEPTED,
            created_at=made_at(self._id),  # lists of sends are bounded by their ids
            recipients=len(self.mailboxes),
        )
        draft.insert(sends.COLLECTION, document(send))
        return send


def _hash(request: SendRequest) -> str:
    """Of what was asked for: whom in which order makes no difference, nor does a default that was spelt out."""
    asked = replace(request, users=tuple(sorted(request.users)), priority=request.priority or DEFAULT_PRIORITY)
    return sha256(msgspec.json.encode(asked)).hexdigest()


def _known(answer: dict[str, str], hashed: str) -> str:
    if answer["hash"] != hashed or "send" not in answer:
        raise Conflict(
            "This idempotency key was used before with another input: use a fresh key, or repeat the first input."
        )
    return answer["send"]
