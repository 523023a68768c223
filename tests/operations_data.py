"""A month of a busy tenant, written directly to MongoDB in the hub's format: people, an announcement to all of them,
other sends, and an hour in which a provider failed."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from msgspec import Struct
from pymongo import AsyncMongoClient, MongoClient, WriteConcern

from hub.audience.search_fields import SearchFields
from hub.ids import IdGenerator
from hub.inbox import state
from hub.model import (
    Attempt,
    Channel,
    Content,
    Delivery,
    DeliveryStatus,
    Mailbox,
    Notification,
    Priority,
    Reason,
    Send,
    SendAudience,
    SendStatus,
    User,
    delivery_id,
    document,
    mailbox_of,
)
from hub.platform.connections import Document
from hub.status.activity import ALL_CATEGORIES, KEPT, Interval
from hub.utc_time import now

BATCH_SIZE = 5_000
DAYS = 20
CATEGORIES = ("orders", "reviews", "security", "invoices")
ANNOUNCEMENT = "The office moves in June"
SUPPRESSED_TITLE = "Your invoice is ready"
OUTAGE_ERROR = "connection refused by the mail server"
RECIPIENTS_OF_A_SEND = 100
OUTCOMES = (
    *[(DeliveryStatus.DELIVERED, None, None)] * 15,
    *[(DeliveryStatus.READ, None, None)] * 2,
    (DeliveryStatus.SENT, None, None),
    (DeliveryStatus.FAILED, Reason.REFUSED, "550 5.7.1 Message rejected as spam"),
    (DeliveryStatus.EXPIRED, None, None),
)
"""Of 20 deliveries, this many have each status, reason, and error."""


class Month(Struct, frozen=True):
    """What was written. `outage_at`: the start of the hour in which `outage_failures` deliveries by email failed.
    `suppressed_user` is a user whose email address bounced."""

    tenant: str
    announcement: str
    outage_at: datetime
    outage_failures: int
    suppressed_user: str
    suppressed_email: str


class MonthWriter:
    """Writes `deliveries` deliveries and `users` users of a tenant. `outage` deliveries fail in one hour."""

    def __init__(self, mongo_url: str, database: str, tenant: str, *, users: int, deliveries: int, outage: int) -> None:
        self._client: MongoClient[Document] = MongoClient(mongo_url)
        self._database = self._client.get_database(database, write_concern=WriteConcern(1, j=False))
        self._tenant = tenant
        self._users, self._deliveries, self._outage = users, deliveries, outage
        self._ids = IdGenerator()
        self._now = now().replace(microsecond=0)
        self._outage_at = self._now.replace(minute=0, second=0) - timedelta(hours=3)
        self._counts: Counter[tuple[Interval, datetime, str, str]] = Counter()
        self._modseqs: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()

    def write(self) -> Month:
        """Write everything, the oldest sends first."""
        announcement = self._write_announcement()
        others = self._deliveries - self._users - self._outage
        self._write_jobs(self._others(others, self._now - timedelta(days=DAYS), self._now - timedelta(hours=4)))
        self._write_jobs(self._failures())
        suppressed = self._write_suppressed()
        self._insert("users", (self._user(number) for number in range(self._users)))
        self._insert("mailboxes", (self._mailbox(number) for number in range(self._users)))
        self._insert("activity", self._activity())
        self._client.close()
        return Month(
            tenant=self._tenant,
            announcement=announcement,
            outage_at=self._outage_at,
            outage_failures=self._outage,
            suppressed_user=suppressed,
            suppressed_email=f"{suppressed}@example.org",
        )

    def _insert(self, collection: str, docs: Iterable[Document]) -> None:
        rows = iter(docs)
        while batch := list(islice(rows, BATCH_SIZE)):
            self._database[collection].insert_many(batch, ordered=False)

    def _write_jobs(self, jobs: Iterator[tuple[Send | None, Notification, list[Delivery]]]) -> None:
        while batch := list(islice(jobs, BATCH_SIZE)):
            for collection, records in (
                ("sends", [send for send, _, _ in batch if send]),
                ("notifications", [n for _, n, _ in batch]),
                ("deliveries", [one for _, _, found in batch for one in found]),
            ):
                if records:
                    self._database[collection].insert_many([document(one) for one in records], ordered=False)

    def _write_announcement(self) -> str:
        """Write a send to everyone, in the inbox and by email. Of 10 recipients, 6 have read it."""
        at = self._now - timedelta(days=DAYS, hours=1)
        send = self._send(at, "announcements", ANNOUNCEMENT, self._users, everyone=True)

        def jobs() -> Iterator[tuple[Send | None, Notification, list[Delivery]]]:
            for number in range(self._users):
                n = self._notification(send, self._mailbox_id(number), at, read=number % 10 < 6, because="EVERYONE")
                yield None if number else send, n, [self._delivery(n, Channel.EMAIL, number, at)]

        self._write_jobs(jobs())
        return send.id

    def _others(
        self, count: int, since: datetime, until: datetime
    ) -> Iterator[tuple[Send | None, Notification, list[Delivery]]]:
        """Return notifications with two deliveries each, spread over a time."""
        send = None
        total = count // 2
        for number in range(total):
            at = since + (until - since) * (number / total)
            first = number % RECIPIENTS_OF_A_SEND == 0
            if first or send is None:
                category = CATEGORIES[(number // RECIPIENTS_OF_A_SEND) % len(CATEGORIES)]
                send = self._send(at, category, f"Update {number // RECIPIENTS_OF_A_SEND}", RECIPIENTS_OF_A_SEND)
            mailbox = self._mailbox_id(number * 7)
            n = self._notification(send, mailbox, at, read=number % 3 > 0)
            channels = (Channel.EMAIL, Channel.WEBHOOK)
            yield send if first else None, n, [self._delivery(n, channel, number, at) for channel in channels]

    def _failures(self) -> Iterator[tuple[Send | None, Notification, list[Delivery]]]:
        """Return what failed in the hour of the outage, one delivery for each notification."""
        for number in range(self._outage):
            at = self._outage_at + timedelta(hours=1) * (number / self._outage)
            send = self._send(at, "orders", f"Order {number} was shipped", 1)
            n = self._notification(send, self._mailbox_id(number * 13), at, read=False)
            failed = (DeliveryStatus.FAILED, Reason.ATTEMPTS_USED_UP, OUTAGE_ERROR)
            yield send, n, [self._delivery(n, Channel.EMAIL, number, at, failed)]

    def _write_suppressed(self) -> str:
        """Write an invoice whose email was not sent, because the address had bounced. Return the user."""
        number = self._users // 2
        at = self._now - timedelta(hours=2)
        send = self._send(at, "invoices", SUPPRESSED_TITLE, 1)
        n = self._notification(send, self._mailbox_id(number), at, read=False, skipped={"EMAIL": Reason.SUPPRESSED})
        self._write_jobs(iter([(send, n, [])]))
        return _user_id(number)

    def _send(self, at: datetime, category: str, title: str, recipients: int, *, everyone: bool = False) -> Send:
        return Send(
            id=self._ids.make_at(at),
            tenant=self._tenant,
            category=category,
            status=SendStatus.ACCEPTED,
            created_at=at,
            recipients=recipients,
            created_by="key:shop",
            audience=SendAudience(everyone=True) if everyone else None,
            total=recipients if everyone else None,
            content=Content(title=title, body=f"{title}. Open the app for details."),
        )

    def _notification(
        self,
        send: Send,
        mailbox: str,
        at: datetime,
        *,
        read: bool,
        because: str = "NAMED",
        skipped: dict[str, str] | None = None,
    ) -> Notification:
        assert send.content
        self._modseqs[mailbox] += 1
        self._unread[mailbox] += not read
        self._count(Channel.IN_APP, DeliveryStatus.DELIVERED, send.category, at)
        later = min(at + timedelta(minutes=5), self._now)
        return state.with_state(
            Notification(
                id=self._ids.make_at(at),
                mailbox=mailbox,
                send=send.id,
                category=send.category,
                title=send.content.title,
                body=send.content.body,
                priority=Priority.MEDIUM,
                because=because,
                created_at=at,
                updated_at=at,
                seen_at=later if read else None,
                read_at=later if read else None,
                has_deliveries=skipped is None,
                skipped=skipped or {},
                modseq=self._modseqs[mailbox],
                added_modseq=self._modseqs[mailbox],
            )
        )

    def _delivery(
        self, n: Notification, channel: Channel, number: int, at: datetime, outcome: tuple[Any, Any, Any] | None = None
    ) -> Delivery:
        status, reason, error = outcome or OUTCOMES[number % len(OUTCOMES)]
        provider = "smtp" if channel is Channel.EMAIL else "webhook"
        called = () if status is DeliveryStatus.EXPIRED else (Attempt(at, provider, ok=not error, error=error, ms=40),)
        self._count(channel, status, n.category, at)
        return Delivery(
            id=delivery_id(n.id, channel, secrets.token_hex(16) if channel is Channel.WEBHOOK else None, 0),
            tenant=self._tenant,
            mailbox=n.mailbox,
            channel=channel,
            category=n.category,
            notification=n.id,
            send=n.send,
            status=status,
            reason=reason,
            priority=n.priority,
            attempts=called,
            tries=len(called),
            delivered_at=at if status is DeliveryStatus.DELIVERED else None,
            provider_id=f"<{n.id}@example.org>" if called and not error else None,
            created_at=at,
            updated_at=at,
        )

    def _count(self, channel: Channel, status: DeliveryStatus, category: str, at: datetime) -> None:
        for interval in Interval:
            for key in (category, ALL_CATEGORIES):
                self._counts[interval, interval.start(at), key, f"{channel}.{status}"] += 1

    def _activity(self) -> Iterator[Document]:
        buckets: dict[tuple[Interval, datetime, str], Document] = {}
        for (interval, at, category, name), count in self._counts.items():
            channel, _, status = name.partition(".")
            counts = buckets.setdefault((interval, at, category), {})
            counts.setdefault(channel, {})[status] = count
        for (interval, at, category), counts in buckets.items():
            if (expires_at := at + KEPT[interval]) > self._now:
                key = {"tenant": self._tenant, "interval": interval, "category": category, "at": at}
                yield key | {"counts": counts, "expires_at": expires_at}

    def _mailbox_id(self, number: int) -> str:
        return mailbox_of(self._tenant, _user_id(number % self._users))

    def _user(self, number: int) -> Document:
        search = SearchFields(())
        at = self._now - timedelta(days=DAYS + 1)
        email, name = f"{_user_id(number)}@example.org", f"Person {number}"
        user = User(id=self._mailbox_id(number), created_at=at, updated_at=at, email=email, name=name)
        stored = {"tenant": self._tenant, "search_version": search.version}
        return document(user) | stored | search.of_profile({"email": email, "name": name})

    def _mailbox(self, number: int) -> Document:
        key = self._mailbox_id(number)
        unread = self._unread[key]
        return document(Mailbox(key, secrets.token_hex(4), self._modseqs[key], unread=unread, unseen=unread))


def _user_id(number: int) -> str:
    return f"person-{number:06d}"


async def write_month(mongo_url: str, database: str, tenant: str, **sizes: int) -> Month:
    """Write the data of a `MonthWriter` in a thread."""
    writer = MonthWriter(mongo_url, database, tenant, **sizes)
    return await asyncio.to_thread(writer.write)


class SlowReads:
    """Records the reads of a database that examine a collection without an index, and those above `slow_ms`."""

    def __init__(self, client: AsyncMongoClient[Document], database: str, slow_ms: int) -> None:
        self._database = client[database]
        self._slow_ms = slow_ms

    async def __aenter__(self) -> "SlowReads":
        kinds = {"op": {"$in": ["query", "command", "getmore"]}, "planSummary": {"$exists": True}}
        recorded = {"$or": [{"planSummary": {"$regex": "COLLSCAN"}}, {"millis": {"$gte": self._slow_ms}}]}
        await self._database.command({"profile": 1, "slowms": 0, "filter": kinds | recorded})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.command({"profile": 0, "filter": "unset"})
        await self._database.drop_collection("system.profile")

    async def read(self, match: Document) -> list[str]:
        found = await self._database["system.profile"].find(match).to_list()
        return [f"{one['ns']} {one['planSummary']} {one['millis']} ms: {one['command']}" for one in found]

    async def without_index(self, *collections: str) -> list[str]:
        """Return the reads of these collections that used no index."""
        names = [f"{self._database.name}.{name}" for name in collections]
        return await self.read({"planSummary": {"$regex": "COLLSCAN"}, "ns": {"$in": names}})

    async def scan(self, collection: str) -> None:
        """Read a collection without an index."""
        await self._database[collection].find({"no_such_field": 1}).to_list()
