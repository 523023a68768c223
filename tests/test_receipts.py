"""Receipts: changes by recipients and channels, published to the tenant that sent."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub.utc_time import rfc3339
from tests.client import GraphQLErrors, Json, Subscription, Tenant, eventually

RECEIPTS = "subscription ($sendId: ID, $after: Cursor) { receipts(sendId: $sendId, after: $after) { id cursor kind at sendId notificationId userId channel status reason consoleUrl } }"
LATER = "2090-01-01T00:00:00Z"
ReceiptRow = tuple[str, str | None, str | None]


@asynccontextmanager
async def open_receipts(
    tenant: Tenant, send: str | None = None, after: str | None = None
) -> AsyncIterator[Subscription]:
    async with tenant.socket() as socket:
        yield await socket.subscribe(RECEIPTS, sendId=send, after=after)


def receipt_rows(receipts: list[Json]) -> list[ReceiptRow]:
    return [(receipt["kind"], receipt["channel"], receipt["status"]) for receipt in receipts]


async def send_id(tenant: Tenant, *users: str, **more: Any) -> str:
    id: str = (await tenant.send(*users, **more))["send"]["id"]
    return id


async def start_cursor(tenant: Tenant, feed: Subscription) -> str:
    """Return a cursor from which a reader of everything has certainly begun: it received a send made after that."""

    async def ping() -> None:
        while True:
            await tenant.send("ping")
            await asyncio.sleep(0.05)

    pinging = asyncio.create_task(ping())
    [receipt] = await feed.take(1)
    pinging.cancel()
    await asyncio.gather(pinging, return_exceptions=True)
    last = await send_id(tenant, "last-ping")
    while receipt["sendId"] != last:
        [receipt] = await feed.take(1)
    cursor: str = receipt["cursor"]
    return cursor


async def test_receipts_of_a_send_start_at_its_beginning(tenant: Tenant) -> None:
    id = await send_id(tenant, "alice", requireAck=True, channels=["IN_APP", "SMS"])
    [n] = (await tenant.inbox("alice"))["nodes"]
    for field in ("markSeen", "markRead", "markUnread", "archive", "unarchive", "acknowledge"):
        await tenant.mark("alice", field, n["id"])
    await tenant.mark("alice", "snooze", n["id"], until=LATER)  # not reported to anyone
    await tenant.mark("alice", "pin", n["id"])  # nor this
    await tenant.mark("alice", "markUnread", n["id"])
    expected: list[ReceiptRow] = [
        ("DELIVERY", "IN_APP", "DELIVERED"),
        ("DELIVERY", "SMS", "SKIPPED"),
        *((kind, "IN_APP", None) for kind in ("SEEN", "READ", "UNREAD", "ARCHIVED", "READ", "ACKNOWLEDGED", "UNREAD")),
    ]
    async with open_receipts(tenant, id) as feed:
        receipts = await feed.take(len(expected))
    assert receipt_rows(receipts) == expected
    assert [receipt["reason"] for receipt in receipts] == [None, "NOT_CONFIGURED"] + [None] * 7
    assert {(r["sendId"], r["notificationId"], r["userId"]) for r in receipts} == {(id, n["id"], "alice")}
    assert len({receipt["id"] for receipt in receipts}) == len(expected)
    assert {receipt["consoleUrl"] for receipt in receipts} == {None}, "the hub does not have its public URL"
    assert [receipt["at"] for receipt in receipts] == sorted(receipt["at"] for receipt in receipts)


async def test_receipts_are_live_and_one_per_change(tenant: Tenant) -> None:
    id = await send_id(tenant, "alice", "bob")
    async with open_receipts(tenant, id) as feed:
        assert {receipt["userId"] for receipt in await feed.take(2)} == {"alice", "bob"}
        [n] = (await tenant.inbox("alice"))["nodes"]
        for _ in range(2):  # the second call changes nothing
            await tenant.mark("alice", "markRead", n["id"])
        await tenant.mark_all("bob", "archiveAll")
        assert receipt_rows(await feed.take(3)) == [
            ("SEEN", "IN_APP", None),
            ("READ", "IN_APP", None),
            ("ARCHIVED", "IN_APP", None),
        ]


async def test_expiry_is_a_receipt(tenant: Tenant) -> None:
    at = rfc3339(datetime.now(UTC) + timedelta(seconds=0.5))
    async with open_receipts(tenant, await send_id(tenant, "alice", expiresAt=at)) as feed:
        assert receipt_rows(await feed.take(2)) == [
            ("DELIVERY", "IN_APP", "DELIVERED"),
            ("DELIVERY", "IN_APP", "EXPIRED"),
        ]


async def test_mark_all_makes_one_receipt_per_notification(tenant: Tenant) -> None:
    async with open_receipts(tenant) as feed:
        await start_cursor(tenant, feed)
        for _ in range(3):
            await tenant.send("alice")
        await tenant.mark_all("alice", "markAllRead")
        receipts = await feed.take(9)
    kinds = [receipt["kind"] for receipt in receipts]
    assert kinds[:3] == ["DELIVERY"] * 3
    assert sorted(kinds[3:]) == ["READ"] * 3 + ["SEEN"] * 3
    assert len({receipt["notificationId"] for receipt in receipts}) == 3


async def test_receipts_resumed_after_each_one_lose_none(tenant: Tenant) -> None:
    async with open_receipts(tenant) as feed:
        cursor = await start_cursor(tenant, feed)
    expected = []
    for number in range(6):
        expected.append(("DELIVERY", await send_id(tenant, f"u{number}", "v")))
        expected.append(("DELIVERY", expected[-1][1]))
    await tenant.mark_all("v", "markAllSeen")
    received: list[tuple[str, str]] = []
    ids = set()
    while len(received) < 18:
        async with open_receipts(tenant, after=cursor) as feed:
            [receipt] = await feed.take(1)
        assert receipt["id"] not in ids
        ids.add(receipt["id"])
        cursor = receipt["cursor"]
        received.append((receipt["kind"], receipt["sendId"]))
        if len(received) == 9:  # and changes while no client reads
            await tenant.send("meanwhile")
            expected.append(("DELIVERY", ""))
    assert received[:12] == expected[:12]
    assert [kind for kind, _ in received[12:]] == ["SEEN"] * 6
    async with open_receipts(tenant, after=cursor) as feed:
        assert (await feed.take(1))[0]["userId"] == "meanwhile"


@pytest.mark.parametrize(
    "cursor",
    [
        # a resume token of another deployment: well-formed and long past
        urlsafe_b64encode(
            bytes.fromhex("825F0000000000000A2B022C01002B066E5A1004AAAAAAAAAAAA4AAAAAAAAAAAAAAAAAAA46645F6964000004")
        ),
        urlsafe_b64encode(b"rubbish but well-formed"),
        b"AAAA",
        b"",
    ],
)
async def test_receipts_after_an_unknown_cursor_are_rejected(tenant: Tenant, cursor: bytes) -> None:
    async with open_receipts(tenant, after=cursor.decode().rstrip("=")) as feed:
        with pytest.raises(GraphQLErrors) as refused:
            await feed.take(1)
    assert refused.value.code == "CURSOR_EXPIRED"


@pytest.mark.parametrize("cursor", ["ü", "a", "not base64!"])
async def test_receipts_after_an_invalid_cursor_are_rejected(tenant: Tenant, cursor: str) -> None:
    async with open_receipts(tenant, after=cursor) as feed:
        with pytest.raises(GraphQLErrors) as refused:
            await feed.take(1)
    assert refused.value.code in {"BAD_USER_INPUT", "CURSOR_EXPIRED"}


async def test_tenant_has_at_most_ten_receipt_streams(tenant: Tenant) -> None:
    url = tenant.urls[0]
    id = await send_id(tenant, "alice")
    async with AsyncExitStack() as stack:
        for _ in range(10):
            socket = await stack.enter_async_context(tenant.socket(url=url))
            await (await socket.subscribe(RECEIPTS, sendId=id)).take(1)
        async with tenant.socket(url=url) as socket:
            feed = await socket.subscribe(RECEIPTS, sendId=id)
            with pytest.raises(GraphQLErrors) as refused:
                await feed.take(1)
            assert refused.value.code == "RATE_LIMITED"
            assert refused.value.errors[0]["extensions"]["retryAfter"] > 0
            assert "HUB_TENANT_MAX_RECEIPT_STREAMS" in refused.value.errors[0]["message"]

    async def free_again() -> bool:
        async with tenant.socket(url=url) as socket:
            try:
                await (await socket.subscribe(RECEIPTS, sendId=id)).take(1)
            except GraphQLErrors:
                return False
            return True

    await eventually(free_again)
