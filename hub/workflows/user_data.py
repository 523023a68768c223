"""Exports all stored data of one user as JSON, or erases it.

Erasing goes in transactions of bounded size. Each takes some notifications away, with their deliveries, adjusts the
counts and gives the mailbox a new epoch, so that every open client loads anew; the last one takes mailbox and person.
The mailbox is the lock: a send or mark at the same time comes before or after, never between. A crash leaves a smaller
mailbox that is right in itself; calling again goes on. Records of sends stay, as numbers, and so do calls of the
tenant's endpoints, without who they were about.
"""

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import pymongo
from msgspec import Struct
from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.audience import users
from hub.inbox import state
from hub.inbox.committer import Committer
from hub.inbox.store import RESPONSE_NOT_STORED
from hub.inbox.unit_of_work import UnitOfWork
from hub.model import InboxEvent, InboxEventKind, MailboxChange, tenant_of, user_of
from hub.platform.connections import Database, Document
from hub.status import captured, deliveries, receipts
from hub.status.proof import with_proven_status
from hub.webhooks import webhook_calls

SCAN_TIMEOUT_S = 60.0  # a person's receipts have no index: they are kept for days only, and this is rare
EXCLUDED_FIELDS = frozenset(
    {
        *("secret", "key", "auth", "p256dh", "token", "arn"),  # secrets of devices
        *("mailbox", "tenant", "modseq", "added_modseq", "state", "wake_at", "search_text"),  # internal
        *("lane", "enqueue_count", "claim", "override", "lease_expirations", "tries", "traceparent"),
    }
)


class UserData:
    """`chunk`: notifications that one transaction erases. `most`: of each kind in an export."""

    def __init__(
        self,
        database: Database,
        committer: Committer,
        tell: Callable[[list[MailboxChange]], None],
        *,
        chunk: int,
        most: int,
    ) -> None:
        self._database = database
        self._committer = committer
        self._publish = tell
        self._chunk = chunk
        self._limit = most

    async def export(self, mailbox: str) -> str | None:
        """Return all stored data of a user as JSON, newest first, or None if the user does not exist. `complete` is
        false if the limit of an export was reached. Secrets of devices are left out."""
        user = await self._database[users.COLLECTION].find_one({"_id": mailbox})
        if user is None:
            return None
        person = {"tenant": tenant_of(mailbox), "user_id": user_of(mailbox)}
        told: Document = {
            "id": user_of(mailbox),
            "profile": {name: value for name, value in user.items() if name not in ("_id", *users.REPLACED_FIELDS)},
            "devices": user.get("devices", []),
            "preferences": user.get("preferences", {}),
            "suppressed": _exported_suppressions(user.get("suppressed", {})),
            "inbox": await self._database.mailboxes.find_one({"_id": mailbox}, {"_id": 0, "unread": 1, "unseen": 1}),
            "notifications": await self._newest("notifications", {"mailbox": mailbox}, "modseq"),
            "deliveries": [
                with_proven_status(doc)
                for doc in await self._newest(deliveries.COLLECTION, {"mailbox": mailbox}, "_id")
            ],
            "receipts": await self._newest(receipts.COLLECTION, person, "_id"),
            "webhook_calls": await self._newest(webhook_calls.COLLECTION, webhook_calls.match_user(mailbox), "_id"),
        }
        kinds = [told[name] for name in ("notifications", "deliveries", "receipts", "webhook_calls")]
        told["complete"] = all(len(kind) <= self._limit for kind in kinds)
        for kind in kinds:
            del kind[self._limit :]
        return await asyncio.to_thread(lambda: orjson.dumps(_exported(told), default=str).decode())

    async def erase(self, mailbox: str) -> bool:
        """Erase a user. Return True if the user existed. Idempotent."""
        there, whole = False, False
        while not whole:
            erased = await self._committer.submit(_EraseWork(self._database, mailbox, self._chunk))
            there, whole = there or erased.there, erased.whole
            if erased.there:
                event = InboxEvent(kind=InboxEventKind.RESYNC, modseq=0, unread=0, unseen=0)
                self._publish([MailboxChange(mailbox=mailbox, epoch=erased.epoch, first=0, last=0, events=(event,))])
        told: Document = {"tenant": tenant_of(mailbox), "user_id": user_of(mailbox), "at": {"$lte": erased.at}}
        # What began before and was committed after came to somebody new, and is whole.
        newer = self._database.notifications.find({"mailbox": mailbox}, {"_id": 1}, hint="feed").limit(self._chunk)
        with pymongo.timeout(SCAN_TIMEOUT_S):
            told["notification_id"] = {"$nin": [doc["_id"] async for doc in newer]}
            await self._database[receipts.COLLECTION].delete_many(told)
            calls = webhook_calls.match_user(mailbox) | {"created_at": {"$lte": erased.at}}
            await self._database[webhook_calls.COLLECTION].update_many(calls, webhook_calls.erase_user_update(mailbox))
            await self._erase_copies(mailbox)
        return there

    async def _erase_copies(self, mailbox: str) -> None:
        """Erase stored responses about the user and, in development, captured messages."""
        dropped = {"$set": {"response": RESPONSE_NOT_STORED}, "$unset": {"mailboxes": ""}}
        await self._database.idempotency.update_many({"mailboxes": mailbox}, dropped)
        theirs = {"tenant": tenant_of(mailbox), "user": user_of(mailbox)}
        await self._database[captured.COLLECTION].delete_many(theirs)

    async def _newest(self, collection: str, of: Document, by: str) -> list[Document]:
        with pymongo.timeout(SCAN_TIMEOUT_S):
            found = self._database[collection].find(of).sort(by, DESCENDING).limit(self._limit + 1)
            return await found.to_list()


class _Erased(Struct, frozen=True):
    there: bool
    whole: bool
    epoch: str
    at: datetime


class _EraseWork:
    """Up to `chunk` notifications and deliveries of a mailbox; where there are no more, the mailbox and its person. It
    writes by itself: a unit knows of no mailbox that ends."""

    exclusive = True
    needs_recipients = False
    mailboxes = ()
    reads = ()
    keys = ()
    size = 0

    def __init__(self, database: Database, mailbox: str, chunk: int) -> None:
        self._database = database
        self._mailbox = mailbox
        self.documents = chunk

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> _Erased:
        notifications = await self._next_batch("notifications", session)
        outside = await self._next_batch(deliveries.COLLECTION, session)
        of_it, epoch = {"_id": self._mailbox}, secrets.token_hex(4)
        if whole := max(len(notifications), len(outside)) < self.documents:
            mailbox = await self._database.mailboxes.delete_one(of_it, session=session)
            person = await self._database[users.COLLECTION].delete_one(of_it, session=session)
            there = mailbox.deleted_count + person.deleted_count
        else:
            lay = Counter(str(doc["state"]) for doc in notifications if "state" in doc)  # maybe of another version
            counts = {
                "unread": -sum(lay[place] for place in state.UNREAD),
                "unseen": -sum(lay[place] for place in state.UNSEEN),
            }
            update = {"$set": {"epoch": epoch}, "$inc": counts}
            there = (await self._database.mailboxes.update_one(of_it, update, session=session)).matched_count
        for collection, docs in (("notifications", notifications), (deliveries.COLLECTION, outside)):
            if docs:
                gone = {"_id": {"$in": [doc["_id"] for doc in docs]}}
                await self._database[collection].delete_many(gone, session=session)
        return _Erased(bool(there), whole, epoch, unit.now)

    async def _next_batch(self, collection: str, session: AsyncClientSession) -> list[Document]:
        found = self._database[collection].find({"mailbox": self._mailbox}, {"state": 1}, session=session)
        return await found.limit(self.documents).to_list()


def _exported_suppressions(stored: Any) -> Any:
    """Return each suppressed address with its reason. Documents of other versions may have another type."""
    if not isinstance(stored, dict):
        return stored
    return [{"address": address, "reason": why} for address, why in stored.items()]


def _exported(value: Any) -> Any:
    """Return the value with the field names of the API, without internal fields and secrets. JSON texts are
    embedded."""
    if isinstance(value, list):
        return [_exported(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {}
    for name, inner in value.items():
        if name in EXCLUDED_FIELDS:
            continue
        if name in {"data", "attributes", "payload"} and isinstance(inner, str):
            told[name] = orjson.Fragment(inner)
        else:
            told["id" if name == "_id" else re.sub("_([a-z])", lambda found: found[1].upper(), name)] = _exported(inner)
    return told
