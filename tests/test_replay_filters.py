"""Dead letters: filters, previews, and `hub replay`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiohttp import web
from pymongo import AsyncMongoClient

from hub.model import Channel, DeliveryStatus
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.deliveries import COUNT_MAX
from hub.status.delivery_query import DeliveryQuery, index_of, match_of, order_of, replay_match_of
from tests.channel_setup import DELIVERIES, SHORT_TIMES, connect_webhook, list_deliveries, wait_for_deliveries
from tests.cli_commands import run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.processes import SECRET, Deployment
from tests.webhook_receiver import WebhookReceiver

PREVIEW = """query ($f: DeliveryFilter!) {
  replayPreview(filter: $f) { count addressGone suppressed alreadyRead reasons { reason count } } }"""
COUNT = """query ($f: DeliveryFilter, $id: ID!) {
  deliveries(filter: $f, first: 1) { totalCount } send(id: $id) { deliveries(first: 1) { totalCount } } }"""
REPLAY = "mutation ($f: DeliveryFilter) { replay(filter: $f) }"
PAGE = """query ($f: DeliveryFilter, $a: String) {
  deliveries(filter: $f, first: 1, after: $a) { nodes { id } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture(scope="module")
async def fast_deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    settings = {**SHORT_TIMES, "retry_schedule": "0s", "mongo_database": "replay", "redis_prefix": "replay:"}
    async with Deployment(servers[0].url, servers[1].url, apis=1, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(fast_deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", fast_deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["replay"]


async def dead_letters(tenant: Tenant, receiver: WebhookReceiver) -> dict[str, Json]:
    """Create one dead letter of each kind, by user: rejected, gone, and attempts used up."""
    for count, (user, status) in enumerate({"alice": 413, "bob": 410, "carol": 503}.items(), 1):
        await connect_webhook(tenant, receiver, user)
        receiver.responses[f"/{user}"] = lambda *_, status=status: web.Response(status=status)
        await tenant.send(user, channels=["IN_APP", "WEBHOOK"])
        found = await wait_for_deliveries(tenant, "FAILED", count)
    return {delivery["userId"]: delivery for delivery in found}


@pytest.mark.parametrize("odd", [{"channels": ["PAGER"]}, {"region": "eu"}])
async def test_replay_with_an_incomplete_selection_replays_nothing(tenant: Tenant, store: Database, odd: Json) -> None:
    """A selection with unknown values would match everything. Other replays continue. An earlier version stored
    these."""
    async with WebhookReceiver() as receiver:
        dead = await dead_letters(tenant, receiver)
        common = {"tenant": tenant.name, "started_at": datetime.now(UTC)}
        await store.replays.insert_many(
            [
                {"_id": f"{tenant.name}0", **common, "query": odd},
                {"_id": f"{tenant.name}1", "tenant": tenant.name},
                {"_id": f"{tenant.name}2", **common, "query": {"mailbox": f"{tenant.name}/carol"}},
            ]
        )

        async def done() -> bool:
            batch = await store.delivery_batches.find_one({"_id": f"{tenant.name}2"})
            return batch is not None and "ended_at" in batch

        await eventually(done, 60)
        attempts = {
            doc["mailbox"].split("/")[1]: len(doc["attempts"])
            async for doc in store.deliveries.find({"tenant": tenant.name})
        }
        assert attempts["alice"] == len(dead["alice"]["attempts"])
        await store.delivery_batches.delete_many({"tenant": tenant.name})


async def test_filters_find_failures_by_reason_provider_and_time(tenant: Tenant) -> None:
    async with WebhookReceiver() as receiver:
        dead = await dead_letters(tenant, receiver)
    ids = {user: delivery["id"] for user, delivery in dead.items()}

    async def found(**filter: object) -> list[str]:
        return [delivery["id"] for delivery in await list_deliveries(tenant, **filter)]

    assert await found(reasons=["REFUSED"]) == [ids["alice"]]
    assert await found(reasons=["ATTEMPTS_USED_UP", "ADDRESS_GONE"]) == [ids["carol"], ids["bob"]]
    assert await found(sendId=dead["bob"]["sendId"]) == [ids["bob"]]
    assert len(await found(providers=["webhook"])) == 3
    assert await found(providers=["smtp"]) == []
    assert await found(failedSince="2026-01-01T00:00:00Z", statuses=["SENT"]) == []
    last = [attempt["at"] for attempt in dead["carol"]["attempts"]][-1]
    assert await found(failedSince=last) == [ids["carol"]]
    assert await found(failedUntil=last) == [ids["bob"], ids["alice"]]
    assert await found(failedSince=last, userId="bob") == []
    pages: list[str] = []
    cursor = None
    while True:
        page = (await tenant.execute(PAGE, f={"failedSince": "2026-01-01T00:00:00Z"}, a=cursor))["deliveries"]
        pages += [node["id"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == [ids["carol"], ids["bob"], ids["alice"]], "the last failure first"
    for invalid, field in (({"reasons": ["GONE"]}, "filter.reasons"), ({"providers": ["x" * 300]}, "filter.providers")):
        with pytest.raises(GraphQLErrors, match=field):
            await tenant.execute(DELIVERIES, f=invalid)
    with pytest.raises(GraphQLErrors, match="another order"):
        await tenant.execute(PAGE, f={"failedSince": "2026-01-01T00:00:00Z"}, a=ids["bob"])


async def test_deliveries_of_a_filter_are_counted_up_to_a_limit(tenant: Tenant, store: Database) -> None:
    sent = await tenant.send("alice", "bob", channels=["WEBHOOK"], steps=[{"channels": ["WEBHOOK"], "after": "P1D"}])
    id = sent["send"]["id"]

    async def counts(**filter: object) -> list[int | None]:
        found = await tenant.execute(COUNT, f=filter, id=id)
        return [found["deliveries"]["totalCount"], found["send"]["deliveries"]["totalCount"]]

    assert await counts() == [2, 2]
    assert await counts(userId="alice", statuses=["HELD"]) == [1, 2]
    assert await counts(statuses=["SENT"], failedSince="2026-01-01T00:00:00Z") == [0, 2]
    stored = await store.deliveries.find_one({"tenant": tenant.name})
    assert stored
    others = [{**stored, "_id": f"0-{number:05}", "send": "other", "due_at": None} for number in range(COUNT_MAX - 2)]
    await store.deliveries.insert_many(others)
    assert await counts() == [COUNT_MAX, 2]
    await store.deliveries.insert_one({**others[0], "_id": "0-one more"})
    assert await counts() == [None, 2]
    assert await counts(since="2026-01-01T00:00:00Z") == [2, 2]
    await store.deliveries.delete_many({"send": "other"})


async def test_replay_omits_deliveries_without_an_address_unless_named(tenant: Tenant) -> None:
    async with WebhookReceiver() as receiver:
        dead = await dead_letters(tenant, receiver)
        [n] = (await tenant.inbox("alice"))["nodes"]
        await tenant.execute("mutation ($ids: [ID!]!) { markRead(ids: $ids) { changed } }", user="alice", ids=[n["id"]])
        preview = (await tenant.execute(PREVIEW, f={}))["replayPreview"]
        assert preview == {
            "count": 2,
            "addressGone": 1,
            "suppressed": 0,
            "alreadyRead": 1,
            "reasons": [
                {"reason": "ADDRESS_GONE", "count": 1},
                {"reason": "ATTEMPTS_USED_UP", "count": 1},
                {"reason": "REFUSED", "count": 1},
            ],
        }
        assert (await tenant.execute(PREVIEW, f={"reasons": ["ADDRESS_GONE"]}))["replayPreview"]["count"] == 1
        assert (await tenant.execute(PREVIEW, f={"statuses": ["SENT"]}))["replayPreview"]["count"] == 0
        assert (await tenant.execute(REPLAY, f={"statuses": ["SENT"]}))["replay"] == 0
        receiver.responses.clear()
        assert (await tenant.execute(REPLAY, f={}))["replay"] == 2
        [alive] = await wait_for_deliveries(tenant, "DELIVERED")
        assert alive["id"] == dead["carol"]["id"]
        [skipped] = await wait_for_deliveries(tenant, "SKIPPED")
        assert (skipped["id"], skipped["reason"]) == (dead["alice"]["id"], "ALREADY_READ")
        assert [one["id"] for one in await list_deliveries(tenant, statuses=["FAILED"])] == [dead["bob"]["id"]]
        assert (await tenant.execute(REPLAY, f={"reasons": ["ADDRESS_GONE"]}))["replay"] == 1


async def test_replay_command_counts_confirms_and_prints_ids(
    tenant: Tenant, fast_deployment: Deployment, store: Database
) -> None:
    async with WebhookReceiver() as receiver:
        dead = await dead_letters(tenant, receiver)
    fields = ["--url", fast_deployment.urls[0].removesuffix("/graphql"), "--tenant", tenant.name]

    async def replay(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run_command, "replay", *arguments, *fields, jwt_secret=SECRET)
        return done.returncode, done.stdout, done.stderr

    code, received, _ = await replay("--all", "--dry-run")
    assert code == 0
    assert received.splitlines() == [
        "2 deliveries would be sent again.",
        "       1  ADDRESS_GONE (left out without --reason ADDRESS_GONE)",
        "       1  ATTEMPTS_USED_UP",
        "       1  REFUSED",
    ]
    assert (await replay("--provider", "smtp"))[1] == "0 deliveries will be sent again.\n"
    one = await store["deliveries"].find_one({"_id": dead["alice"]["id"]})
    assert one
    copies = [{**one, "_id": f"{uuid4()}-webhook", "notification": str(uuid4())} for _ in range(101)]
    await store["deliveries"].insert_many(copies)
    code, received, invalid = await replay("--reason", "refused", "--failed-since", "PT1H")
    assert (code, received) == (1, "")
    assert invalid.startswith("102 deliveries would be sent again")
    assert "--yes" in invalid
    assert len(await list_deliveries(tenant, statuses=["FAILED"])) == 100, "nothing was replayed"
    code, received, _ = await replay("--reason", "refused", "--failed-since", "PT1H", "--yes")
    *ids, last = received.splitlines()
    assert (code, last) == (0, "102 deliveries will be sent again.")
    assert set(ids) == {dead["alice"]["id"], *(copy["_id"] for copy in copies)}

    async def removed() -> bool:
        return not await list_deliveries(tenant, reasons=["REFUSED"])

    await eventually(removed)


@pytest.mark.usefixtures("fast_deployment")  # it creates the indexes
async def test_every_filter_uses_an_index_in_its_order(store: Database) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for expected in (
        DeliveryQuery(),
        DeliveryQuery(statuses=(DeliveryStatus.FAILED, DeliveryStatus.SENT), reasons=("REFUSED",), providers=("smtp",)),
        DeliveryQuery(failed_since=at, failed_until=at, channels=(Channel.EMAIL,)),
        DeliveryQuery(failed_since=at, mailbox="a/b"),
        DeliveryQuery(send="x", category="news", since=at, until=at),
        DeliveryQuery(ids=("x",)),
    ):
        for match, index in (
            (match_of("a", expected), index_of(expected)),
            (replay_match_of("a", expected), index_of(expected, failed=True)),
        ):
            find = {"find": "deliveries", "filter": match, "hint": index, "sort": dict(order_of(expected)), "limit": 10}
            if index != index_of(expected):  # a replay uses the order of its index
                del find["sort"]
            plan = str((await store.command("explain", find, verbosity="queryPlanner"))["queryPlanner"]["winningPlan"])
            assert f"'indexName': '{index}'" in plan
            assert "'stage': 'SORT'" not in plan or index == "send", (expected, plan)
