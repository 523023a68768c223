"""The counts of sends: how old they may be, and that they read no deliveries."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Any

from hub.model import Channel, DeliveryStatus, Send, SendStatus
from hub.platform.connections import Database
from hub.status.deliveries import COLLECTION
from hub.status.send_counts import LARGE_COUNTS_AT_ONCE, SMALL_SEND_MAX_RECIPIENTS, SendCounts
from hub.status.status_counts import Counts
from tests.client import Json, Tenant, eventually
from tests.clocks import hub_now

COUNTS = "query ($id: ID!) { send(id: $id) { createdAt countedAt counts { channel status count } } }"


async def read_counts(tenant: Tenant, id: str) -> tuple[datetime, dict[str, int]]:
    send = (await tenant.execute(COUNTS, id=id, url=tenant.urls[0]))["send"]
    counted_at = datetime.fromisoformat(send["countedAt"])
    assert counted_at >= datetime.fromisoformat(send["createdAt"])
    return counted_at, {row["status"]: row["count"] for row in send["counts"]}


async def test_counts_of_a_small_send_are_current(tenant: Tenant) -> None:
    id = (await tenant.send("alice", "bob"))["send"]["id"]
    first_at, counts = await read_counts(tenant, id)
    assert counts == {"DELIVERED": 2}
    await tenant.mark_all("alice", "markAllRead")
    second_at, counts = await read_counts(tenant, id)
    assert counts == {"DELIVERED": 1, "READ": 1}
    assert second_at > first_at


async def test_readers_of_a_large_send_share_its_counts_for_seconds(tenant: Tenant, database: Database) -> None:
    id = (await tenant.send("alice", "bob"))["send"]["id"]
    await database.sends.update_one({"_id": id}, {"$set": {"recipients": 5000}})
    first_at, counts = await read_counts(tenant, id)
    assert counts == {"DELIVERED": 2}
    await tenant.mark_all("alice", "markAllRead")
    if (again := await read_counts(tenant, id)) != (first_at, counts):
        assert (again[0] - first_at).total_seconds() > 5, "the machine was slow"

    async def counted_again() -> bool:
        at, counts = await read_counts(tenant, id)
        assert (counts == {"DELIVERED": 1, "READ": 1}) == (at > first_at)
        return at > first_at

    await eventually(counted_again)


async def test_one_query_has_the_counts_of_small_and_large_sends(tenant: Tenant, database: Database) -> None:
    ids = [(await tenant.send("alice", "bob"))["send"]["id"] for _ in range(3)]
    await database.sends.update_one({"_id": ids[0]}, {"$set": {"recipients": 5000}})
    nodes = (await tenant.execute("{ sends { nodes { id countedAt counts { count } } } }"))["sends"]["nodes"]
    assert {node["id"]: [row["count"] for row in node["counts"]] for node in nodes} == {id: [2] for id in ids}


async def test_few_large_sends_are_counted_at_the_same_time() -> None:
    running: list[str] = []
    peaks: list[int] = []

    class Slow:
        async def counts(self, sends: Collection[str]) -> dict[str, Counts]:
            running.extend(sends)
            peaks.append(len(running))
            await asyncio.sleep(0.01)
            for id in sends:
                running.remove(id)
            return {id: {} for id in sends}

    class Empty:
        async def counts(self, sends: Collection[str]) -> dict[str, Counts]:
            return {id: {} for id in sends}

    fields: Json = {"tenant": "acme", "category": "news", "status": SendStatus.ACCEPTED, "created_at": hub_now()}
    large = [Send(id=str(n), recipients=SMALL_SEND_MAX_RECIPIENTS + 1, **fields) for n in range(20)]
    counted = await SendCounts(Slow(), Empty(), hub_now, 30.0).get_many(large)  # type: ignore[arg-type]
    assert counted.keys() == {send.id for send in large}
    assert max(peaks) == LARGE_COUNTS_AT_ONCE


async def test_counts_of_deliveries_are_covered_by_an_index(tenant: Tenant, database: Database) -> None:
    id = (await tenant.send("alice"))["send"]["id"]
    deliveries = [
        {"_id": f"{id}-{number}", "send": id, "channel": Channel.EMAIL, "status": DeliveryStatus.SENT}
        | ({"reason": "REFUSED"} if number % 2 else {})
        for number in range(10)
    ]
    await database.deliveries.insert_many(deliveries)
    of = {"send": "$send", "k": "$channel", "v": "$status", "r": "$reason"}
    stages: list[Json] = [{"$match": {"send": {"$in": [id]}}}, {"$group": {"_id": of, "count": {"$sum": 1}}}]
    aggregate = {"aggregate": COLLECTION, "pipeline": stages, "cursor": {}, "hint": "send"}
    explained: Any = await database.command("explain", aggregate, verbosity="executionStats")
    assert "'totalKeysExamined': 10" in str(explained)
    assert "'totalDocsExamined': 0" in str(explained)
    _, counts = await read_counts(tenant, id)
    assert counts == {"DELIVERED": 1, "SENT": 10}
