"""Stored receipts: one document per transaction, the change streams that read them, and erasure."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub import base64url
from hub.errors import CursorExpired
from hub.ids import new_id
from hub.model import Channel, DeliveryStatus, Notification, PendingReceipt, ReceiptKind
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.index_builds import make_indexes
from hub.platform.urgent_sends import KEY_TTL_S
from hub.settings import Settings
from hub.status import receipt_change_stream, receipts
from hub.status.receipt_change_stream import ReceiptStreams, StreamedReceipt
from hub.status.receipts import ROWS_MAX, pack, unpack
from hub.utc_time import now
from hub.workflows.expansions import YIELDING_CHUNK_SIZE
from tests.broadcasts import broadcast, create_users, expanded
from tests.client import Json, Tenant, eventually
from tests.mongo_assertions import stored_receipts
from tests.processes import SECRET, Deployment
from tests.telemetry import metric_value, scrape_metrics
from tests.test_receipts import open_receipts, send_id, start_cursor
from tests.webhook_data import NOW, new_notification

EXPORT = "mutation ($id: ID!) { exportUser(id: $id) }"
MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
TENANT = "acme"
WITHIN_S = 20.0


async def documents_of(database: Database, tenant: Tenant) -> list[Json]:
    return await database.receipts.find({"tenant": tenant.name}).sort("_id").to_list()


async def count_streams(client: AsyncMongoClient[Json], database: str) -> int:
    """Count the change streams of receipts that are open on MongoDB."""
    operations: list[Json] = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": f"{database}.receipts"}}]
    found = await (await client.admin.aggregate(operations)).to_list()
    return len({one["cursor"]["cursorId"] for one in found if "$changeStream" in str(one.get("cursor"))})


@pytest.mark.parametrize("one_send", [False, True], ids=["tenant", "send"])
async def test_reader_cut_off_at_any_row_gets_the_rest(tenant: Tenant, one_send: bool) -> None:
    """Two sends are committed together, with two receipts for each of their four users."""
    async with open_receipts(tenant) as feed:
        start = await start_cursor(tenant, feed)
    users = [f"u{number}" for number in range(4)]
    one = {"to": {"users": users}, "category": "news", "content": {"title": "T", "body": ""}}
    inputs = [one | {"channels": ["IN_APP", "SMS"]}] * 2
    sent = [payload["send"]["id"] for payload in (await tenant.execute(MANY, inputs=inputs))["sendMany"]]
    await tenant.send("last")
    send, count = (sent[1], 8) if one_send else (None, 17)
    async with open_receipts(tenant, send, after=start) as feed:
        expected = await feed.take(count)
    ids = [receipt["id"] for receipt in expected]
    assert len(set(ids)) == count
    assert {receipt["sendId"] for receipt in expected[:16]} == set(sent[1:] if one_send else sent)
    for position in range(count - 1):
        async with open_receipts(tenant, send, after=expected[position]["cursor"]) as feed:
            rest = await feed.take(count - position - 1)
        assert [receipt["id"] for receipt in rest] == ids[position + 1 :]
    received, cursor = [], start
    while len(received) < count:  # by each process in turn
        async with open_receipts(tenant, send, after=cursor) as feed:
            [receipt] = await feed.take(1)
        received.append(receipt["id"])
        cursor = receipt["cursor"]
    assert received == ids


async def test_cursor_of_a_send_resumes_all_receipts_of_the_tenant(tenant: Tenant) -> None:
    """The position is in the middle of a document: nothing after it is missing."""
    sent = await send_id(tenant, "a", "b", "c")
    async with open_receipts(tenant, sent) as feed:
        [first, *rest] = await feed.take(3)
    await tenant.send("last")
    async with open_receipts(tenant, after=first["cursor"]) as feed:
        assert [receipt["userId"] for receipt in await feed.take(3)] == [*(row["userId"] for row in rest), "last"]


async def test_reader_cut_off_in_the_chunks_of_a_broadcast_gets_every_row_once(tenant: Tenant) -> None:
    users = [f"user-{number:03}" for number in range(450)]
    await create_users(tenant, users)
    send = await broadcast(tenant, channels=["IN_APP", "SMS"])
    received: list[Json] = []
    while left := 2 * len(users) - len(received):  # by each process in turn
        cursor = received[-1]["cursor"] if received else None
        async with open_receipts(tenant, send["id"], after=cursor) as feed:
            received += await feed.take(min(random.randint(1, 130), left), WITHIN_S)
    rows = Counter((receipt["userId"], receipt["channel"]) for receipt in received)
    assert rows == Counter((user, channel) for user in users for channel in ("IN_APP", "SMS"))
    ids = [receipt["id"] for receipt in received]
    assert len(set(ids)) == len(ids)


async def test_expansion_has_small_chunks_while_critical_sends_arrive(tenant: Tenant, database: Database) -> None:
    """Each chunk writes one document of receipts."""
    users = [f"user-{number:03}" for number in range(450)]
    await create_users(tenant, users)

    async def largest_chunk() -> int:
        send = await broadcast(tenant, channels=["IN_APP"])
        await expanded(tenant, send["id"])
        return max(len(doc["rows"]) for doc in await documents_of(database, tenant) if send["id"] in doc["sends"])

    async def send_urgently() -> None:
        while True:
            await tenant.send("boss", priority="CRITICAL")
            await asyncio.sleep(0.05)

    assert await largest_chunk() > YIELDING_CHUNK_SIZE
    async with asyncio.TaskGroup() as group:
        urgent = group.create_task(send_urgently())
        await asyncio.sleep(KEY_TTL_S)  # the worker asks meanwhile
        largest = await largest_chunk()
        urgent.cancel()
    assert largest <= YIELDING_CHUNK_SIZE


async def test_receipts_of_one_transaction_are_one_document(tenant: Tenant, database: Database) -> None:
    await tenant.send(*(f"u{number}" for number in range(100)), channels=["IN_APP", "SMS"])
    [doc] = await documents_of(database, tenant)
    assert (len(doc["rows"]), len(doc["sends"])) == (200, 1)
    assert doc["events"] == [
        {"kind": "DELIVERY", "channel": "IN_APP", "status": "DELIVERED"},
        {"kind": "DELIVERY", "channel": "SMS", "status": "SKIPPED", "reason": "NOT_CONFIGURED"},
    ]
    await tenant.fill_inbox("alice", 50)
    before = len(await documents_of(database, tenant))
    await tenant.mark_all("alice", "markAllRead")
    assert len(await documents_of(database, tenant)) == before + 1
    assert len(await stored_receipts(database, tenant=tenant.name, user_id="alice", kind="READ")) == 50


async def test_all_readers_of_a_process_share_one_change_stream(servers: tuple[Mongod, Redis]) -> None:
    name = f"receipts{uuid4().hex[:8]}"
    mongod, redis = servers
    async with (
        AsyncMongoClient[Json](mongod.url) as client,
        Deployment(mongod.url, redis.url, apis=1, workers=0, mongo_database=name) as running,
        Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant,
        AsyncExitStack() as stack,
    ):
        sent = await send_id(tenant, "alice")
        async with open_receipts(tenant, sent) as feed:
            [old] = await feed.take(1)
        feeds = [await stack.enter_async_context(open_receipts(tenant, after=old["cursor"])) for _ in range(5)]
        await tenant.send("bob")
        for feed in feeds:
            assert [receipt["userId"] for receipt in await feed.take(1)] == ["bob"]

        async def is_shared() -> bool:
            metrics = await scrape_metrics(tenant.urls[0])
            assert metric_value(metrics, "hub_receipt_readers") == 5
            return metric_value(metrics, "hub_receipt_streams") == 1 and await count_streams(client, name) == 1

        await eventually(is_shared)
        await tenant.send("cay")
        for feed in feeds:
            assert [receipt["userId"] for receipt in await feed.take(1)] == ["cay"]
        await client.drop_database(name)


async def test_erased_user_is_in_no_receipt_and_others_keep_their_ids(tenant: Tenant, database: Database) -> None:
    async def exported(user: str) -> list[Json]:
        found: list[Json] = (await tenant.execute_as_admin(EXPORT, id=user))["exportUser"]["receipts"]
        return found

    sent = await send_id(tenant, "ann", "ben", "cay", channels=["IN_APP", "SMS"])
    await tenant.send("ben")
    await tenant.mark_all("ben", "markAllRead")
    async with open_receipts(tenant, sent) as feed:
        streamed = await feed.take(6)
    before = await exported("cay")
    assert [receipt["id"] for receipt in reversed(before)] == [
        receipt["id"] for receipt in streamed if receipt["userId"] == "cay"
    ]
    assert {receipt["kind"] for receipt in await exported("ben")} == {"DELIVERY", "SEEN", "READ"}
    assert (await tenant.execute_as_admin('mutation { deleteUser(id: "ben") }'))["deleteUser"]
    assert "ben" not in str(await documents_of(database, tenant))
    assert await exported("cay") == before
    kept = await stored_receipts(database, tenant=tenant.name)
    assert sorted(row["user_id"] for row in kept) == ["ann", "ann", "cay", "cay"]
    await tenant.send("ben")
    assert len(await exported("ben")) == 1
    async with open_receipts(tenant, sent, after=streamed[2]["cursor"]) as feed:
        assert [receipt["id"] for receipt in await feed.take(3)] == [receipt["id"] for receipt in streamed[3:]]


def new_receipts(count: int, **fields: Any) -> list[PendingReceipt]:
    n = new_notification(TENANT, **fields)
    return [PendingReceipt(n, Channel.EMAIL, DeliveryStatus.SENT, f"R{number % 7}") for number in range(count)]


def test_documents_are_bounded_and_contain_every_receipt_in_order() -> None:
    pending = [*new_receipts(2 * ROWS_MAX + 1), *new_receipts(1, mailbox="other/alice")]
    pending += [PendingReceipt(new_notification(TENANT), Channel.IN_APP, kind=ReceiptKind.READ) for _ in range(3)]
    packed = pack(pending, NOW)
    assert [len(doc["rows"]) for doc in packed.documents] == [ROWS_MAX, ROWS_MAX, 4, 1]
    unpacked = [receipt for doc in packed.documents for _, receipt in unpack(doc)]
    expected = [one.stored(id, NOW) for id, one in packed.receipts]
    assert sorted(unpacked, key=lambda receipt: receipt.id) == sorted(expected, key=lambda receipt: receipt.id)
    of_tenant = [receipt.id for receipt in expected if receipt.tenant == TENANT]
    assert of_tenant == sorted(set(of_tenant))
    large = pack(new_receipts(ROWS_MAX, mailbox=f"{TENANT}/{'x' * 1000}"), NOW)
    assert len(large.documents) > 1
    assert sum(len(doc["rows"]) for doc in large.documents) == ROWS_MAX


def test_rows_of_another_version_are_left_out() -> None:
    [doc] = pack(new_receipts(4), NOW).documents
    doc["events"][1]["kind"] = "PRINTED"
    doc["rows"][2] = {"u": 7}
    assert [index for index, _ in unpack(doc)] == [0, 3]
    del doc["rows"]
    assert list(unpack(doc)) == []


class Streams:
    """The receipt streams of one process, on a database of its own. Each inserted document is one receipt, whose reason
    is its number."""

    def __init__(self, client: AsyncMongoClient[Json], name: str) -> None:
        self.database = client[name]
        self.streams = ReceiptStreams(self.database, 100, 100, lambda at: at)
        self._client = client
        self._inserted = 0

    async def insert(self, count: int) -> list[str]:
        """Insert documents. Return their reasons."""
        n = new_notification(TENANT)
        reasons = [str(number) for number in range(self._inserted, self._inserted + count)]
        self._inserted += count
        for reason in reasons:
            packed = pack([PendingReceipt(n, Channel.EMAIL, DeliveryStatus.SENT, reason)], NOW)
            await self.database.receipts.insert_many(packed.documents)
        return reasons

    def open(self, after: str | None = None, since: datetime | None = None) -> AsyncGenerator[StreamedReceipt, None]:
        """Read after a cursor, or from the first document."""
        return self.streams.stream(TENANT, None, after, None if after else since or now())

    async def wait_for_count(self, expected: int) -> None:
        """Wait until the process has this many change streams."""

        async def has_count() -> bool:
            return await count_streams(self._client, self.database.name) == expected

        await eventually(has_count)


async def take(reader: AsyncGenerator[StreamedReceipt, None], count: int) -> list[StreamedReceipt]:
    async with asyncio.timeout(WITHIN_S):
        return [await anext(reader) for _ in range(count)]


def reasons(received: list[StreamedReceipt]) -> list[str | None]:
    return [one.receipt.reason for one in received]


@pytest.fixture
async def streams(servers: tuple[Mongod, Redis]) -> AsyncIterator[Streams]:
    name = f"streams{uuid4().hex[:8]}"
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True) as client:
        await make_indexes(client[name], receipts.indexes(Settings(jwt_secret=(SECRET,))))
        found = Streams(client, name)
        yield found
        await found.streams.close()
        await client.drop_database(name)


async def test_reader_that_is_too_slow_for_the_buffer_misses_nothing(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_change_stream, "BUFFER_MAX_ROWS", 10)
    async with aclosing(streams.open()) as slow, aclosing(streams.open()) as fast:
        for _ in range(4):  # after some documents, both read the shared stream
            expected = await streams.insert(1)
            assert reasons(await take(slow, 1)) == reasons(await take(fast, 1)) == expected
        await streams.wait_for_count(1)
        expected = await streams.insert(50)
        assert reasons(await take(fast, 50)) == expected
        await streams.wait_for_count(1)
        assert reasons(await take(slow, 50)) == expected
        expected = await streams.insert(1)
        assert reasons(await take(slow, 1)) == reasons(await take(fast, 1)) == expected
        await streams.wait_for_count(1)


async def test_readers_with_the_same_start_share_a_stream(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read it at the pace of the fastest. A slower one misses nothing, and the stream ends with the last."""
    monkeypatch.setattr(receipt_change_stream, "BUFFER_MAX_ROWS", 10)
    since = now()
    expected = await streams.insert(60)
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(aclosing(streams.open(since=since))) for _ in range(8)]
        for received in await asyncio.gather(*(take(reader, 5) for reader in readers)):
            assert reasons(received) == expected[:5]
        await streams.wait_for_count(2)  # the live stream, and the one of the readers
        slow, *fast = readers
        for reader in fast:
            assert reasons(await take(reader, 55)) == expected[5:]
        assert reasons(await take(slow, 55)) == expected[5:]
        for _ in range(3):  # after some documents, all read the live stream
            new = await streams.insert(1)
            for received in await asyncio.gather(*(take(reader, 1) for reader in readers)):
                assert reasons(received) == new
        await streams.wait_for_count(1)


async def test_cursor_that_is_older_than_the_buffer_is_read_from_the_oplog(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_change_stream, "BUFFER_MAX_ROWS", 10)
    expected = await streams.insert(50)
    async with aclosing(streams.open()) as reader:
        cursors = [one.cursor for one in await take(reader, 50)]
        for position in (0, 20, 38, 39, 40, 48):
            async with aclosing(streams.open(cursors[position])) as resumed:
                assert reasons(await take(resumed, 49 - position)) == expected[position + 1 :]


@pytest.mark.parametrize("one_send", [False, True], ids=["tenant", "send"])
async def test_cursor_after_the_receipts_of_others_is_valid_in_another_process(
    streams: Streams, one_send: bool
) -> None:
    """The cursor names the position after a document of another tenant, or of another send."""
    n = new_notification(TENANT)
    other = new_notification(TENANT if one_send else "other")
    send = n.send if one_send else None

    async def insert(*pairs: tuple[Notification, str]) -> None:
        """Insert a document for each pair, with a receipt for each character."""
        documents: list[Json] = []
        for one, characters in pairs:
            rows = [PendingReceipt(one, Channel.EMAIL, DeliveryStatus.SENT, reason) for reason in characters]
            documents += pack(rows, NOW).documents
        await streams.database.receipts.insert_many(documents)

    restarted = ReceiptStreams(streams.database, 100, 100, lambda at: at)
    async with aclosing(streams.streams.stream(TENANT, send, None, now())) as reader:
        for reason in "abcd":  # after some documents, it reads the shared stream
            await insert((other, "x"), (n, reason))
            assert reasons(await take(reader, 1)) == [reason]
        await insert((other, "x"), (n, "yz"))
        [received] = await take(reader, 1)
    assert received.receipt.reason == "y"
    try:
        async with aclosing(restarted.stream(TENANT, send, received.cursor, None)) as resumed:
            assert reasons(await take(resumed, 1)) == ["z"]
            await insert((other, "x"), (n, "e"))
            assert reasons(await take(resumed, 1)) == ["e"]
    finally:
        await restarted.close()


async def test_stream_ends_after_its_last_reader_and_starts_again(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_change_stream, "IDLE_S", 0.0)
    cursor = None
    for _ in range(2):
        expected = await streams.insert(1)
        async with aclosing(streams.open(cursor)) as reader:
            [received] = await take(reader, 1)
        assert received.receipt.reason == expected[0]
        cursor = received.cursor
        await streams.wait_for_count(0)


@pytest.mark.parametrize("token", [b"\xff" * 20, bytes.fromhex("82FFFFFFFF00000001")])
async def test_position_after_the_end_is_refused(streams: Streams, token: bytes) -> None:
    """It would otherwise be a reader that receives nothing."""
    await streams.insert(1)
    async with aclosing(streams.open()) as reader:
        await take(reader, 1)
        async with aclosing(streams.open(base64url.encode(token))) as resumed:
            with pytest.raises(CursorExpired):
                await take(resumed, 1)


async def test_receipts_of_an_earlier_version_are_ignored(streams: Streams) -> None:
    earlier = {"tenant": TENANT, "kind": "READ", "at": NOW, "send_id": "s", "notification_id": "n", "user_id": "alice"}
    async with aclosing(streams.open()) as reader:
        for _ in range(2):
            await streams.database.receipts.insert_one({"_id": new_id(), **earlier})
            expected = await streams.insert(1)
            assert reasons(await take(reader, 1)) == expected
