"""The initial data, which is written directly to MongoDB in the hub's format: users, one large mailbox, a full queue,
and digests with items."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from pymongo import MongoClient, WriteConcern

from hub.audience.search_fields import SearchFields
from hub.bench.payloads import user_id
from hub.decide.digest import digest_key
from hub.ids import new_id
from hub.inbox import state
from hub.model import (
    Channel,
    Delivery,
    DeliveryStatus,
    Device,
    DeviceKind,
    InboxState,
    Mailbox,
    Notification,
    Priority,
    Reason,
    User,
    document,
    mailbox_of,
    tenant_of,
)
from hub.outbox.lanes import lane_of, scheduler_lane

BATCH_SIZE = 5_000
CATEGORIES = 10
TENANTS = 10
USERS = 1_000
DEVICE = "0" * 36
STATE_CYCLE = 100  # of 100 notifications, 1 is new, 9 are unread, 10 are archived, and the others are read


def create_users(mongo_url: str, database: str, tenant: str, count: int, progress: Callable[[float], None]) -> None:
    """Write users with an email address, and their mailboxes, without indexes."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    search = SearchFields(())
    stored = {"tenant": tenant, "search_version": search.version}
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        target = client.get_database(database, write_concern=WriteConcern(1, j=False))
        for start in range(0, count, BATCH_SIZE):
            users, mailboxes = [], []
            for number in range(start, min(start + BATCH_SIZE, count)):
                key, email = mailbox_of(tenant, user_id(number)), f"{user_id(number)}@example.org"
                user = User(id=key, created_at=now, updated_at=now, email=email)
                users.append(document(user) | stored | search.of_profile({"email": email}))
                mailboxes.append(document(Mailbox(id=key, epoch=secrets.token_hex(4))))
            target.users.insert_many(users, ordered=False)
            target.mailboxes.insert_many(mailboxes, ordered=False)
            progress(min(1.0, (start + BATCH_SIZE) / count))
    finally:
        client.close()


def create_mailbox(mongo_url: str, database: str, mailbox: str, size: int, progress: Callable[[float], None]) -> None:
    """Write the mailbox and its notifications, without indexes."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    try:
        target = client.get_database(database, write_concern=WriteConcern(1, j=False))
        batch: list[dict[str, Any]] = []
        counts = dict.fromkeys(InboxState, 0)
        for done, n in enumerate(_notifications(mailbox, size), 1):
            assert n.state
            counts[n.state] += 1
            batch.append(document(n))
            if len(batch) == BATCH_SIZE or done == size:
                target.notifications.insert_many(batch, ordered=False)
                batch = []
                progress(done / size)
        stored = Mailbox(
            id=mailbox,
            epoch=secrets.token_hex(4),
            modseq=size,
            unread=counts[InboxState.NEW] + counts[InboxState.UNREAD],
            unseen=counts[InboxState.NEW],
        )
        target.mailboxes.insert_one(document(stored))
    finally:
        client.close()


def create_deliveries(mongo_url: str, database: str, count: int, url: str) -> list[tuple[str, str]]:
    """Write deliveries to users' webhooks at `url` and their notifications in the state after a commit.

    Return the lane and id of each delivery. The caller must put them on the lanes.
    """
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        target = client.get_database(database, write_concern=WriteConcern(1, j=False))
        queued: list[tuple[str, str]] = []
        mailboxes = [mailbox_of(f"tenant-{n % TENANTS}", f"user-{n}") for n in range(USERS)]
        target.users.insert_many([_user_with_webhook(mailbox, url, now) for mailbox in mailboxes])
        target.mailboxes.insert_many([document(Mailbox(id=mailbox, epoch="0")) for mailbox in mailboxes])
        for start in range(0, count, BATCH_SIZE):
            pairs = [_pending_delivery(mailboxes[n % USERS], now) for n in range(start, min(start + BATCH_SIZE, count))]
            target.notifications.insert_many([document(n) for n, _ in pairs], ordered=False)
            target.deliveries.insert_many([document(delivery) for _, delivery in pairs], ordered=False)
            queued += [(delivery.lane, delivery.id) for _, delivery in pairs]
        return queued
    finally:
        client.close()


def create_digests(
    mongo_url: str, database: str, digests: int, items: int, url: str, progress: Callable[[float], None]
) -> None:
    """Write open digests to users' webhooks at `url`, one per user, with `items` items in total. They are due in an
    hour."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        target = client.get_database(database, write_concern=WriteConcern(1, j=False))
        opened = [_open_digest(mailbox_of(f"tenant-{n % TENANTS}", f"user-{n}"), now) for n in range(digests)]
        target.users.insert_many([_user_with_webhook(digest.mailbox, url, now) for digest in opened])
        target.mailboxes.insert_many([document(Mailbox(id=digest.mailbox, epoch="0")) for digest in opened])
        joined = dict.fromkeys((digest.id for digest in opened), 0)
        for start in range(0, items, BATCH_SIZE):
            into = [opened[n % digests] for n in range(start, min(start + BATCH_SIZE, items))]
            pairs = [_waiting_item(digest, now) for digest in into]
            target.notifications.insert_many([document(n) for n, _ in pairs], ordered=False)
            target.deliveries.insert_many([document(item) for _, item in pairs], ordered=False)
            for digest in into:
                joined[digest.id] += 1
            progress(min(1.0, (start + BATCH_SIZE) / items))
        target.deliveries.insert_many([document(replace(digest, joined=joined[digest.id])) for digest in opened])
    finally:
        client.close()


def _open_digest(mailbox: str, now: datetime) -> Delivery:
    tenant = tenant_of(mailbox)
    return Delivery(
        id=new_id(),
        tenant=tenant,
        mailbox=mailbox,
        channel=Channel.WEBHOOK,
        category="bench",
        status=DeliveryStatus.HELD,
        reason=Reason.DIGEST,
        priority=Priority.MEDIUM,
        lane=scheduler_lane(Priority.MEDIUM, tenant),
        device=DEVICE,
        digest_key=digest_key("bench", "bench"),
        open=True,
        items_pending=True,
        due_at=now + timedelta(hours=1),
        created_at=now,
        updated_at=now,
    )


def _waiting_item(digest: Delivery, now: datetime) -> tuple[Notification, Delivery]:
    n, delivery = _pending_delivery(digest.mailbox, now)
    held = replace(
        delivery,
        status=DeliveryStatus.HELD,
        reason=Reason.DIGEST,
        lane="",
        enqueue_count=0,
        due_at=None,
        digest_id=digest.id,
    )
    return n, held


def _user_with_webhook(mailbox: str, url: str, now: datetime) -> dict[str, Any]:
    key = f"whsec_{b64encode(bytes(24)).decode()}"
    device = Device(id=DEVICE, kind=DeviceKind.WEBHOOK, key=mailbox, created_at=now, url=url, secret=key)
    user = User(id=mailbox, created_at=now, updated_at=now, devices=(device,))
    # with the search fields, so the hub does not convert the user during the measurement
    return {**document(user), "tenant": tenant_of(mailbox), "search_version": SearchFields(()).version}


def _pending_delivery(mailbox: str, now: datetime) -> tuple[Notification, Delivery]:
    n = Notification(
        id=new_id(),
        mailbox=mailbox,
        send="bench",
        category="bench",
        title="Something happened",
        body="Something happened that somebody wants to know about. " * 2,
        priority=Priority.MEDIUM,
        because="NAMED",
        created_at=now,
        updated_at=now,
        hidden=True,
        has_deliveries=True,
    )
    delivery = Delivery(
        id=f"{n.id}-{DEVICE}",
        tenant=n.tenant,
        notification=n.id,
        send=n.send,
        mailbox=mailbox,
        channel=Channel.WEBHOOK,
        category=n.category,
        status=DeliveryStatus.ACCEPTED,
        priority=n.priority,
        lane=lane_of(Channel.WEBHOOK, n.priority, n.tenant),
        enqueue_count=1,
        device=DEVICE,
        due_at=now + timedelta(hours=1),
        created_at=now,
        updated_at=now,
    )
    return n, delivery


def _notifications(mailbox: str, size: int) -> Iterator[Notification]:
    started_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=size)
    for modseq in range(1, size + 1):
        at = started_at + timedelta(seconds=modseq)
        phase = modseq % STATE_CYCLE
        yield state.with_state(
            Notification(
                id=new_id(),
                mailbox=mailbox,
                send=new_id(),
                category=f"category-{modseq % CATEGORIES}",
                title=f"Notification {modseq}",
                body="Something happened that somebody wants to know about. " * 2,
                priority=Priority.MEDIUM,
                because="NAMED",
                created_at=at,
                updated_at=at,
                modseq=modseq,
                added_modseq=modseq,
                seen_at=at if phase >= 1 else None,
                read_at=at if phase >= 10 else None,
                archived_at=at if phase >= 90 else None,
            )
        )
