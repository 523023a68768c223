"""The export and erasure of all stored data of one user.

A user is erased in transactions of limited size. Each transaction deletes some notifications, deliveries, and topic
subscriptions, adjusts the counts, and sets a new epoch in the mailbox, which makes every open client load the inbox
again. The last transaction deletes the mailbox and the user. The mailbox document serves as the lock: a concurrent send
or mark is committed before or after a transaction, never during one. After a crash, the mailbox is smaller but
consistent, and another call continues. The records of sends are kept with their counts, and lose their content with
their last recipient. Webhook calls are kept without the user id. Entries of the audit log are kept with an HMAC of it.
"""

import asyncio
import re
import secrets
from datetime import datetime
from typing import Any

import orjson
import pymongo
from msgspec import Struct
from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession

from hub import iso_duration
from hub.audience import search_fields, users
from hub.audience.opt_outs import OptOuts
from hub.audience.service_keys import ServiceKeys
from hub.audience.templates import ERASED_AUTHOR, Templates
from hub.audience.topics import Topics
from hub.enrichment import cache as enrichment_cache
from hub.events import event_store
from hub.inbox import idempotency_records, window_counts
from hub.inbox.committer import Committer
from hub.inbox.unit_of_work import UnitOfWork
from hub.inbox.user_data import InboxUserData
from hub.inbox.works import WorkDefaults
from hub.live.publisher import Publisher
from hub.model import InboxEvent, InboxEventKind, MailboxChange, is_person, tenant_of, user_of
from hub.platform.audit import AuditedAction, AuditLog
from hub.platform.audit_changes import Changes
from hub.platform.connections import Database, Document
from hub.platform.encryption import ENCRYPTED_WITH, CredentialUnavailable, Encryption
from hub.settings import Settings
from hub.status import captured, deliveries
from hub.status.expansion_parts import ExpansionParts
from hub.status.receipts import UserReceipts
from hub.status.scheduled_sends import ScheduledSends
from hub.status.send_changes import SendChanges
from hub.status.sends import Sends
from hub.webhooks import webhook_calls
from hub.workflows.pause_or_resume import paused_by

EXPORTED_LISTS = (
    *("subscriptions", "notifications", "deliveries", "receipts", "webhook_calls", "sends", "throttles"),
    *("stored_responses", "templates", "service_keys", "captured_messages", "audit_log", "events"),
    "enrichment_answers",
)
EXPORTED: Changes = {"exported": True}  # the changes of an audit entry
ERASED: Changes = {"erased": True}
SCAN_TIMEOUT_S = 60.0  # no index finds the webhook calls of a user: they are stored for days, and the query is rare
EXCLUDED_FIELDS = frozenset(
    {
        *("secret", "key", "auth", "p256dh", "token", "arn", "encrypted_with"),  # secrets of devices
        *("mailbox", "tenant", "modseq", "added_modseq", "state", "wake_at", "live_key", "search_text"),  # internal
        *("lane", "enqueue_count", "claim", "leased_until", "override", "resumed", "lease_expirations", "tries"),
        *("traceparent", "counted", "locks", "revision", "expanded", "revised_at", "redecide_at", *search_fields.NAMES),
        *("open", "joined", "items_pending", "subscription_count"),
    }
)


class UserData:
    """Exports and erases users."""

    def __init__(
        self,
        database: Database,
        templates: Templates,
        service_keys: ServiceKeys,
        topics: Topics,
        opt_outs: OptOuts,
        committer: Committer,
        publisher: Publisher,
        sends: Sends,
        send_changes: SendChanges,
        parts: ExpansionParts,
        audit_log: AuditLog,
        settings: Settings,
        encryption: Encryption,
    ) -> None:
        self._database = database
        self._templates = templates
        self._service_keys = service_keys
        self._topics = topics
        self._opt_outs = opt_outs
        self._inbox_data = InboxUserData(database)
        self._scheduled = ScheduledSends(database)
        self._receipts = UserReceipts(database)
        self._send_changes = send_changes
        self._committer = committer
        self._publisher = publisher
        self._sends = sends
        self._parts = parts
        self._encryption = encryption
        self._audit_log = audit_log
        self._chunk = settings.commit_max_documents
        self._export_max = settings.export_max_items

    async def export(self, mailbox: str, audit: AuditedAction) -> str | None:
        """Return all stored data of a user as JSON, newest first, or None if the user does not exist. `complete` is
        false if the export exceeded a limit, or if the address of a device cannot be decrypted. Secrets of devices are
        omitted. `audit` records the call before the data is read."""
        user = await self._database[users.COLLECTION].find_one({"_id": mailbox})
        if user is None:
            return None
        await audit.record(EXPORTED, None)
        devices, complete = self._exported_devices(user.get("devices", []))
        data: Document = {
            "id": user_of(mailbox),
            "profile": {name: value for name, value in user.items() if name not in ("_id", *users.REPLACED_FIELDS)},
            "devices": devices,
            "preferences": user.get("preferences", {}),
            "suppressed": _exported_suppressions(user.get("suppressed", {})),
            "opt_outs": await self._opt_outs.list_of(user.get("phone")),
            "subscriptions": await self._topics.export(mailbox, self._export_max + 1),
            "inbox": await self._inbox_data.export_counts(mailbox),
            "notifications": await self._newest_notifications(mailbox),
            "deliveries": await self._newest(deliveries.COLLECTION, {"mailbox": mailbox}, "_id"),
            "receipts": await self._newest_receipts(mailbox),
            "webhook_calls": await self._newest(webhook_calls.COLLECTION, webhook_calls.match_user(mailbox), "_id"),
            "events": await self._newest_events(mailbox),
            **await self._named_elsewhere(mailbox),
        }
        lists = [data[name] for name in EXPORTED_LISTS]
        data["complete"] = complete and all(len(documents) <= self._export_max for documents in lists)
        for documents in lists:
            del documents[self._export_max :]
        return await asyncio.to_thread(lambda: orjson.dumps(_exported(data), default=str).decode())

    async def erase(self, mailbox: str, audit: AuditedAction) -> bool:
        """Erase a user. Return True if the user existed. The method is idempotent. `audit` records the call first,
        because an erasure has several transactions."""
        pseudonym = await self._audit_log.pseudonym(tenant_of(mailbox), user_of(mailbox))
        await audit.record_each({pseudonym: ERASED}, None)
        await self._scheduled.erase_user(tenant_of(mailbox), user_of(mailbox))  # first, so none of them becomes due
        about_user = event_store.match_subject(tenant_of(mailbox), user_of(mailbox))
        await self._database[event_store.COLLECTION].delete_many(about_user)  # before their rules send to the user
        existed, complete = False, False
        while not complete:
            work = _EraseWork(self._database, self._inbox_data, self._sends, self._topics, mailbox, self._chunk)
            erased = await self._committer.submit(work)
            existed, complete = existed or erased.existed, erased.complete
            if erased.existed:
                event = InboxEvent(kind=InboxEventKind.RESYNC, modseq=0, unread=0, unseen=0)
                change = MailboxChange(mailbox=mailbox, epoch=erased.epoch, first=0, last=0, events=(event,))
                self._publisher.enqueue([change])
        await self._parts.erase_user(mailbox)
        await self._sends.erase_unreached(tenant_of(mailbox), user_of(mailbox))
        # A send that is committed after the erasure belongs to a new user with this id, whose receipts are kept.
        with pymongo.timeout(SCAN_TIMEOUT_S):
            kept = await self._inbox_data.list_ids(mailbox, self._chunk)
            await self._receipts.erase(tenant_of(mailbox), user_of(mailbox), erased.at, kept)
            await self._erase_copies(mailbox, erased.at)
        return existed

    async def _erase_copies(self, mailbox: str, erased_at: datetime) -> None:
        """Erase the user from webhook calls, events, stored responses about the user, counts, the user as author of
        templates, sends, service keys, and pauses, the audit log, and, in development, captured messages."""
        tenant, user = tenant_of(mailbox), user_of(mailbox)
        await self._audit_log.erase_user(tenant, user)
        if is_person(user):
            await self._templates.erase_author(tenant, user)
            await self._service_keys.erase_author(tenant, user)
            await self._sends.erase_creator(tenant, user, ERASED_AUTHOR)
        reason, replacement = paused_by(user), paused_by(ERASED_AUTHOR if is_person(user) else user)
        await self._send_changes.replace_reason(tenant, reason, replacement)
        calls = webhook_calls.match_user_or_pause(mailbox, reason) | {"created_at": {"$lte": erased_at}}
        update = webhook_calls.erase_update(mailbox, reason, replacement)
        await self._database[webhook_calls.COLLECTION].update_many(calls, update)
        about_user = event_store.match_subject(tenant, user) | {"created_at": {"$lte": erased_at}}
        await self._database[event_store.COLLECTION].delete_many(about_user)
        records = self._database[idempotency_records.COLLECTION]
        await records.update_many({"mailboxes": mailbox}, idempotency_records.DELETE_RESPONSE)
        await self._database[window_counts.COLLECTION].delete_many(window_counts.match_mailbox(mailbox))
        await self._database[enrichment_cache.COLLECTION].delete_many({"tenant": tenant})  # any may be about the user
        user_match = {"tenant": tenant, "user": user}
        await self._database[captured.COLLECTION].delete_many(user_match)

    def _exported_devices(self, stored: list[Document]) -> tuple[list[Document], bool]:
        """Return the devices with their URLs, and False if a URL cannot be decrypted."""
        devices, complete = [], True
        for device in stored:
            url: Document = {name: device[name] for name in ("url",) if name in device}
            if device.get(ENCRYPTED_WITH):
                try:
                    url = self._encryption.decrypted_values(users.DEVICE_CREDENTIALS, device["id"], url)
                except CredentialUnavailable:
                    url, complete = {"url": None}, False
            devices.append(device | url)
        return devices, complete

    async def _named_elsewhere(self, mailbox: str) -> Document:
        """Return the lists of what names the user and is not about the user alone. Of stored responses and answers of
        enrichments, which may also contain the data of others, only the times are returned."""
        tenant, user, limit = tenant_of(mailbox), user_of(mailbox), self._export_max + 1
        responses = self._database[idempotency_records.COLLECTION]
        times = responses.find({"mailboxes": mailbox}, {"_id": 0, "at": 1}, hint="mailboxes").limit(limit)
        answers = self._database[enrichment_cache.COLLECTION].find(
            enrichment_cache.match_named(mailbox), {"_id": 0, "category": 1, "expires_at": 1}, hint="category"
        )
        with pymongo.timeout(SCAN_TIMEOUT_S):
            enrichment_answers = await answers.limit(limit).to_list()
        throttles = self._database[window_counts.COLLECTION].find(window_counts.match_mailbox(mailbox), {"_id": 0})
        return {
            "sends": await self._sends.export(tenant, user, limit),
            "throttles": await throttles.limit(limit).to_list(),
            "stored_responses": await times.to_list(),
            "enrichment_answers": enrichment_answers,
            "templates": await self._templates.export_of_author(tenant, user, limit),
            "service_keys": await self._service_keys.export_of_author(tenant, user, limit),
            "captured_messages": await self._newest(captured.COLLECTION, {"tenant": tenant, "user": user}, "_id"),
            "audit_log": await self._audit_log.export(tenant, user, limit),
        }

    async def _newest_notifications(self, mailbox: str) -> list[Document]:
        with pymongo.timeout(SCAN_TIMEOUT_S):
            return await self._inbox_data.export_notifications(mailbox, self._export_max + 1)

    async def _newest_receipts(self, mailbox: str) -> list[Document]:
        with pymongo.timeout(SCAN_TIMEOUT_S):
            return await self._receipts.list_newest(tenant_of(mailbox), user_of(mailbox), self._export_max + 1)

    async def _newest_events(self, mailbox: str) -> list[Document]:
        match = event_store.match_subject(tenant_of(mailbox), user_of(mailbox))
        docs = await self._newest(event_store.COLLECTION, match, "_id")
        return event_store.exported(docs)

    async def _newest(self, collection: str, match: Document, order: str) -> list[Document]:
        """Return documents, newest first, up to one more than an export may contain."""
        with pymongo.timeout(SCAN_TIMEOUT_S):
            docs = self._database[collection].find(match).sort(order, DESCENDING).limit(self._export_max + 1)
            return await docs.to_list()


class _Erased(Struct, frozen=True):
    """The result of one transaction. `existed` is True if something was erased. `complete` is True if nothing is
    left."""

    existed: bool
    complete: bool
    epoch: str
    at: datetime


class _EraseWork(WorkDefaults):
    """A transaction that erases up to `chunk` notifications, deliveries, and topic subscriptions of a mailbox. The last
    one also erases the mailbox and the user. It uses the session directly because a unit of work cannot delete a
    mailbox."""

    exclusive = True
    mailboxes = ()

    def __init__(
        self,
        database: Database,
        inbox_data: InboxUserData,
        sends: Sends,
        topics: Topics,
        mailbox: str,
        chunk: int,
    ) -> None:
        self._database = database
        self._inbox_data = inbox_data
        self._sends = sends
        self._topics = topics
        self._mailbox = mailbox
        self.documents = chunk

    async def apply(self, unit: UnitOfWork, session: AsyncClientSession) -> _Erased:
        notifications = await self._inbox_data.next_batch(self._mailbox, self.documents, session)
        deliveries_of_user = self._database[deliveries.COLLECTION]
        found = deliveries_of_user.find({"mailbox": self._mailbox}, {"_id": 1}, session=session)
        external = [doc["_id"] for doc in await found.limit(self.documents).to_list()]
        tenant, user_id = tenant_of(self._mailbox), user_of(self._mailbox)
        recorded = await self._sends.list_recorded(tenant, user_id, self.documents, session)
        subscriptions = await self._topics.erase_batch(self._mailbox, self.documents, session)
        epoch = secrets.token_hex(4)
        if complete := max(len(notifications), len(external), len(recorded), subscriptions) < self.documents:
            existed = await self._inbox_data.delete_mailbox(self._mailbox, session)
            user = await self._database[users.COLLECTION].delete_one({"_id": self._mailbox}, session=session)
            existed = existed or user.deleted_count == 1
        else:
            existed = await self._inbox_data.shrink_mailbox(self._mailbox, notifications, epoch, session)
        await self._inbox_data.delete_notifications(notifications, session)
        if sends_of_user := {*recorded, *(doc["send"] for doc in notifications)}:
            await self._sends.erase_recipient(user_id, sends_of_user, session)
        if external:
            await deliveries_of_user.delete_many({"_id": {"$in": external}}, session=session)
        return _Erased(existed, complete, epoch, unit.now)


def _exported_suppressions(stored: Any) -> Any:
    """Return each suppressed address with its reason. In documents of other versions, the value may have another
    type."""
    if not isinstance(stored, dict):
        return stored
    return [{"address": address, "reason": reason} for address, reason in stored.items()]


def _exported(value: Any) -> Any:
    """Return the value with the field names of the API, without internal fields and secrets. JSON texts are embedded as
    values."""
    if isinstance(value, list):
        return [_exported(item) for item in value]
    if not isinstance(value, dict):
        return value
    exported: dict[str, Any] = {}
    for name, inner in value.items():
        if name in EXCLUDED_FIELDS:
            continue
        if name in {"data", "attributes", "payload", "changes"} and isinstance(inner, str):
            exported[name] = orjson.Fragment(inner)
        elif name == "attributes":
            exported[name] = inner
        elif name == "window_s" and isinstance(inner, int):
            exported["window"] = iso_duration.format(inner)
        else:
            api_name = "id" if name == "_id" else re.sub("_([a-z])", lambda match: match[1].upper(), name)
            exported[api_name] = _exported(inner)
    return exported
