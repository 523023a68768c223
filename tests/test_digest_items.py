"""The items of digests that ended, in a database without running workers, so that a test chooses what happens when."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from msgspec.structs import replace
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent
from redis.asyncio import Redis as RedisClient

from hub import utc_time
from hub.audience.tenants import Tenants
from hub.errors import Unavailable
from hub.ids import new_id
from hub.inbox.resolutions import Resolution, Resolutions
from hub.inbox.retention_sweeps import RetentionSweep, RetentionSweeps
from hub.model import Channel, Delivery, DeliveryStatus, Priority, Reason, document, live_keys
from hub.outbox.lanes import Lanes
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.index_builds import make_indexes
from hub.runtime.indexes import indexes
from hub.send.delivery_data import DeliveryData
from hub.send.delivery_preparation import DeliveryHandler
from hub.send.digest_preparation import INCOMPLETE_PAUSE
from hub.send.state_after_outcome import Transition
from hub.send.worker_resources import DispatchPolicy
from hub.settings import Settings
from hub.status.activity import ActivityCounts
from hub.status.deliveries import Deliveries
from hub.status.delivery_ends import DeliveryEnds
from hub.status.digest_items import DigestItems
from hub.status.digests import Digests
from hub.status.expanding_sends import ExpandingSends
from hub.status.expansion_parts import ExpansionParts
from hub.status.receipt_builder import ReceiptBuilder
from hub.status.scheduled_sends import ScheduledSends
from hub.workflows.resolve import Resolve
from hub.workflows.schedules import BATCH_SIZE as SENDS_AT_ONCE
from hub.workflows.schedules import DueSends
from hub.workflows.stop_expansion import StopExpansion
from tests.clocks import hub_now
from tests.mongo_assertions import stored_receipts

HOUR = timedelta(hours=1)
POLICY = DispatchPolicy(concurrency=1, lease_s=1, schedule=(5,), retry_after_max_s=1, lease_max_expirations=2)


class Commands(CommandListener):
    """Counts the commands of a client by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.counts[event.command_name] += 1

    def succeeded(self, _: object) -> None: ...
    def failed(self, _: object) -> None: ...


class Stores:
    """The components that end deliveries, in a database of their own."""

    def __init__(self, database: Database, lanes: Lanes, commands: Commands) -> None:
        self.database, self.lanes, self.commands = database, lanes, commands
        receipts = ReceiptBuilder(Tenants(database, 10, 5), ActivityCounts(database, hub_now))
        self.digests = Digests(database.deliveries, hub_now)
        ends = DeliveryEnds(database.deliveries, hub_now, receipts, self.digests)
        self.deliveries = Deliveries(database, hub_now, ends, self.digests)
        self.items = DigestItems(self.digests, ends, lanes)

    async def add_digest(self, items: int, send: str = "send", **fields: Any) -> str:
        """Store a digest that was sent, with items that do not have its status yet."""
        now = hub_now()
        digest = Delivery(
            id=new_id(), tenant="acme", mailbox="acme/anna", channel=Channel.EMAIL, category="news",
            status=DeliveryStatus.SENT, priority=Priority.MEDIUM, digest_key=f"news/{new_id()}", joined=items,
            items_pending=True, created_at=now, updated_at=now,
        )  # fmt: skip
        await self.database.deliveries.insert_one(document(digest) | fields)
        docs = []
        for _ in range(items):
            n = new_id()
            item = Delivery(
                id=f"{n}-email", tenant="acme", mailbox="acme/anna", channel=Channel.EMAIL, category="news",
                status=DeliveryStatus.HELD, reason=Reason.DIGEST, priority=Priority.MEDIUM, notification=n, send=send,
                digest_id=digest.id, created_at=now, updated_at=now,
            )  # fmt: skip
            docs.append(document(item))
        await self.database.deliveries.insert_many(docs)
        return digest.id

    async def statuses(self, *digests: str) -> Counter[tuple[str, str | None]]:
        docs = self.database.deliveries.find({"digest_id": {"$in": digests}})
        return Counter([(doc["status"], doc.get("reason")) async for doc in docs])


@pytest.fixture(scope="module")
async def stores(servers: tuple[Mongod, Redis]) -> AsyncIterator[Stores]:
    mongod, redis = servers
    commands, name = Commands(), f"items{uuid4().hex[:8]}"
    async with (
        AsyncMongoClient(mongod.url, tz_aware=True, event_listeners=[commands]) as client,
        RedisClient.from_url(redis.url) as redis_client,
    ):
        await make_indexes(client[name], *indexes(Settings(jwt_secret="s" * 40)))
        yield Stores(client[name], Lanes(redis_client, f"{name}:", 1000), commands)
        await client.drop_database(name)


@pytest.fixture(autouse=True)
async def empty(stores: Stores) -> None:
    for collection in ("deliveries", "receipts", "resolutions", "retention_sweeps", "notifications", "sends"):
        await stores.database[collection].delete_many({})


@pytest.mark.parametrize("end", ["cancel", "read"])
async def test_item_of_a_digest_that_was_sent_does_not_end_otherwise(stores: Stores, end: str) -> None:
    """Its digest is settled, but its slice is not written yet. An item of a digest under way ends."""
    sent = await stores.add_digest(600)
    under_way = await stores.add_digest(1, status="PROCESSING")
    if end == "cancel":
        ended = await stores.deliveries.cancel("send", Reason.CANCELLED, 1000)
        expected = "CANCELLED"
    else:
        notifications = await stores.database.deliveries.distinct("notification", {"send": "send"})
        ended = await stores.deliveries.end(notifications, Reason.REPLACED)
        expected = "REPLACED"
    assert ended == 1
    assert await stores.statuses(sent) == {("HELD", "DIGEST"): 600}
    assert await stores.statuses(under_way) == {("CANCELLED", expected): 1}
    while await stores.items.tick():
        pass
    assert await stores.statuses(sent) == {("SENT", None): 600}


async def test_items_of_many_digests_are_settled_in_one_transaction(stores: Stores) -> None:
    digests = [await stores.add_digest(3) for _ in range(60)]
    before = stores.commands.counts["commitTransaction"]
    await stores.items.begin(digests)
    assert stores.commands.counts["commitTransaction"] - before == 1
    assert await stores.statuses(*digests) == {("SENT", None): 180}
    assert await stores.database.deliveries.count_documents({"items_pending": True}) == 0


class ClickedDigests(Digests):
    """A click changes a digest before the transaction that settles items."""

    async def choose_items(self, digests: Any, items: Any, session: Any) -> list[Delivery]:
        clicked = {"$set": {"status": "READ", "updated_at": hub_now() + HOUR}}
        await self._deliveries.update_one({"_id": digests[-1]["_id"], "status": "SENT"}, clicked)
        return await super().choose_items(digests, items, session)


async def test_digest_that_changes_while_others_are_settled_with_it_is_settled_later(stores: Stores) -> None:
    digests = [await stores.add_digest(2) for _ in range(2)]
    clicked = ClickedDigests(stores.database.deliveries, hub_now)
    receipts = ReceiptBuilder(Tenants(stores.database, 10, 5), ActivityCounts(stores.database, hub_now))
    items = DigestItems(clicked, DeliveryEnds(stores.database.deliveries, hub_now, receipts, clicked), stores.lanes)
    await items.begin(digests)
    assert await stores.statuses(*digests) == {("SENT", None): 2, ("HELD", "DIGEST"): 2}
    await items.begin(digests)
    assert await stores.statuses(*digests) == {("SENT", None): 4}
    assert await stores.database.deliveries.count_documents({"items_pending": True}) == 0


async def test_slices_end_in_the_middle_of_a_digest(stores: Stores) -> None:
    digests = [await stores.add_digest(number) for number in (400, 400, 1, 300)]
    counts = []
    while await stores.items.tick():
        counts.append((await stores.statuses(*digests))["SENT", None])
    assert counts[:2] == [500, 1000]
    assert counts[-1] == 1101
    assert len(await stored_receipts(stores.database)) == 1101


async def test_digest_that_cannot_be_settled_does_not_stop_those_behind_it(stores: Stores) -> None:
    bad = await stores.add_digest(1, status="FAILED", reason="OF_ANOTHER_VERSION", updated_at=hub_now() - HOUR)
    worse = await stores.add_digest(1, status="FAILED", reason="OF_ANOTHER_VERSION", updated_at=hub_now() - HOUR)
    good = await stores.add_digest(1)
    assert await stores.items.tick() == 3
    assert await stores.statuses(good) == {("SENT", None): 1}
    assert await stores.statuses(bad, worse) == {("HELD", "DIGEST"): 2}
    assert await stores.items.tick() == 0, "they are tried again later"


async def test_items_of_a_digest_that_does_not_exist_are_released(stores: Stores) -> None:
    """They are found among other digests without reading them."""
    kept = [await stores.add_digest(20, status="HELD") for _ in range(30)]
    lost = await stores.add_digest(600)
    await stores.database.deliveries.delete_one({"_id": lost})
    assert await stores.items.release_lost() == 1
    assert await stores.statuses(lost) == {}
    released = {"due_at": {"$exists": True}, "lane": {"$regex": "/MEDIUM/acme$"}, "status": "HELD"}
    assert await stores.database.deliveries.count_documents(released) == 600
    assert await stores.statuses(*kept) == {("HELD", "DIGEST"): 600}
    assert await stores.items.release_lost() == 0, "the next round is a minute later"


async def test_digest_that_fails_does_not_stop_the_preparation_of_others(stores: Stores) -> None:
    """The others of its batch were prepared again, while the first preparation was still running."""
    ids = [await stores.add_digest(2, joined=3, status="PROCESSING") for _ in range(2)]
    jobs = [Delivery(**{"id": id, **_fields(await stores.database.deliveries.find_one({"_id": id}))}) for id in ids]

    async def count_joined(some: list[str]) -> dict[str, int]:
        if ids[0] in some:
            raise RuntimeError("this digest fails")
        return await stores.digests.count_joined(some)

    async def set_item_counts(_: object) -> None: ...

    digests = SimpleNamespace(count_joined=count_joined, set_item_counts=set_item_counts)
    fakes: Any = SimpleNamespace(digests=digests, tenants=Tenants(stores.database, 10, 5))
    none: Any = None
    handler = DeliveryHandler([], fakes, none, none, none, [], POLICY)
    now = hub_now()
    failed, other = await handler.prepare(jobs, now)
    assert isinstance(failed, Transition)
    assert failed.status is DeliveryStatus.ACCEPTED
    assert failed.due_at
    assert failed.lease_expirations == 1
    assert other == Transition(DeliveryStatus.ACCEPTED, None, now + INCOMPLETE_PAUSE), "it was prepared"
    last, _ = await handler.prepare([replace(jobs[0], lease_expirations=1), jobs[1]], now)
    assert isinstance(last, Transition)
    assert (last.status, last.reason, last.due_at) == (DeliveryStatus.FAILED, Reason.POISON, None)
    assert last.error == "the hub could not prepare the message (RuntimeError)"


async def test_delivery_that_cannot_be_prepared_does_not_stop_others() -> None:
    now, none = hub_now(), cast("Any", None)
    bad, good = (
        Delivery(
            id=send, tenant="acme", mailbox="acme/anna", channel=Channel.EMAIL, category="news", notification="n",
            status=DeliveryStatus.PROCESSING, priority=Priority.MEDIUM, send=send, created_at=now, updated_at=now,
        )
        for send in ("bad", "recalled")
    )  # fmt: skip
    found: Any = dict.fromkeys(("n", "acme/anna"), object())
    no_tenant = DeliveryData(found, found, found, {}, {"recalled": Reason.RECALLED}, {}, frozenset())

    async def load(*_: object) -> Any:
        return no_tenant

    async def load_texts(*_: object) -> dict[str, Any]:
        return {}

    stores, texts = cast("Any", SimpleNamespace(load=load)), cast("Any", SimpleNamespace(load=load_texts))
    handler = DeliveryHandler([], stores, texts, none, none, [], POLICY)
    failed, recalled = await handler.prepare([bad, good], now)
    assert isinstance(failed, Transition)
    assert (failed.status, failed.lease_expirations) == (DeliveryStatus.ACCEPTED, 1)
    assert recalled == Transition(DeliveryStatus.CANCELLED, Reason.RECALLED)


def _fields(doc: Any) -> Any:
    return {name: doc[name] for name in ("tenant", "mailbox", "channel", "category", "status", "priority")} | {
        "created_at": doc["created_at"], "updated_at": doc["updated_at"], "digest_key": doc["digest_key"],
        "joined": doc["joined"],
    }  # fmt: skip


async def test_resolution_that_fails_does_not_stop_those_behind_it(stores: Stores) -> None:
    class Committer:
        async def submit(self, work: Any) -> None:
            if work.collapse_key.startswith("bad"):
                raise Unavailable("this mailbox is busy")

    found: list[dict[str, Any]] = [
        {"_id": new_id(), "mailbox": "acme/anna", "live_key": live_keys(key)[0], "created_at": hub_now()}
        for key in ("bad-1", "bad-2", "good")
    ]
    await stores.database.notifications.insert_many(found)
    resolutions, committer = Resolutions(stores.database), Committer()
    parts = ExpansionParts(stores.database, utc_time.now, timedelta())
    stop = StopExpansion(parts, ExpandingSends(stores.database), utc_time.now)
    resolve = Resolve(committer, resolutions, ScheduledSends(stores.database), stop, hub_now)  # type: ignore[arg-type]
    for key in ("bad-1", "bad-2", "good"):
        await resolutions.store(Resolution(id=new_id(), tenant="acme", collapse_key=key, started_at=hub_now()))
    assert await resolve.continue_resolutions() == 3
    left = await stores.database.resolutions.distinct("collapse_key")
    assert left == ["bad-1", "bad-2"]
    assert await resolve.continue_resolutions() == 0, "they are tried again later"


async def test_retention_sweep_that_was_replaced_changes_nothing(stores: Stores) -> None:
    """As in a process that was suspended for a while."""
    sweeps = RetentionSweeps(stores.database)
    older, newer = (
        RetentionSweep(id="acme/news", tenant="acme", category="news", started_at=hub_now() - age, retention_s=period)
        for age, period in ((2 * HOUR, 60), (HOUR, 3600))
    )
    await stores.database.notifications.insert_one({"_id": "n", "send": "s", "created_at": hub_now()})
    await sweeps.start(older)
    assert await sweeps.apply(older, ["s"])
    await sweeps.start(newer)
    assert await sweeps.apply(newer, ["s"])
    assert not await sweeps.apply(older, ["s"])
    await sweeps.finish(newer)
    assert not await sweeps.apply(older, ["s"])
    stored = await stores.database.notifications.find_one({"_id": "n"})
    assert stored
    assert stored["retained_until"] - stored["created_at"] == timedelta(hours=1)


async def test_due_sends_that_are_unavailable_do_not_stop_those_behind_them(stores: Stores) -> None:
    published: list[str] = []

    async def publish(send: Any, _: Any) -> bool:
        if send.id.startswith("busy"):
            raise Unavailable("this mailbox is busy")
        published.append(send.id)
        return (await stores.database.sends.delete_one({"_id": send.id})).deleted_count == 1

    text = '{"category": "news", "users": [], "channels": []}'
    names = [*(f"busy-{number}" for number in range(SENDS_AT_ONCE)), "free"]
    scheduled = {"users": ["anna"], "request": text}
    docs = [
        {"_id": name, "tenant": "acme", "status": "SCHEDULED", "scheduled": scheduled, "due_at": hub_now() - HOUR / n}
        for n, name in enumerate(names, 1)
    ]
    await stores.database.sends.insert_many(docs)
    due = DueSends(ScheduledSends(stores.database), publish, stores.lanes, hub_now)
    assert await due.tick() == SENDS_AT_ONCE
    assert await due.tick() == 1
    assert published == ["free"]
    assert await due.tick() == 0, "the others are tried again later"
