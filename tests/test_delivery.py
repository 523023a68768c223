"""Deliveries: claims, retries, reasons, cancellation and replay."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiohttp import web
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.model import Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import CONNECT_WEBHOOK, SHORT_TIMES, connect_webhook, list_deliveries, wait_for_deliveries
from tests.cli_commands import run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment
from tests.webhook_data import CALLS, CREATE, TEST, UPDATE, error_of, execute_as
from tests.webhook_receiver import WebhookReceiver

REPLAY = "mutation ($ids: [ID!], $f: DeliveryFilter) { replay(ids: $ids, filter: $f) }"
COUNTS = "query ($id: ID!) { send(id: $id) { status counts { channel status count } } }"


@pytest.fixture(scope="module")
async def fast_deployment(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """One API process and one worker, with short times."""
    mongod, redis = servers
    settings = {**SHORT_TIMES, "mongo_database": "dispatch", "redis_prefix": "dispatch:"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(fast_deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", fast_deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["dispatch"]


async def test_personal_webhook_is_called_and_delivered(tenant: Tenant, receiver: WebhookReceiver) -> None:
    await connect_webhook(tenant, receiver, "alice")
    sent = (await tenant.send("alice", title="Hello", channels=["IN_APP", "WEBHOOK"]))["send"]
    [delivery] = await wait_for_deliveries(tenant, "DELIVERED")
    [received] = receiver.bodies["/alice"]
    assert (received["type"], received["data"]["title"]) == ("notification.created", "Hello")
    assert (delivery["sendId"], delivery["userId"], delivery["channel"]) == (sent["id"], "alice", "WEBHOOK")
    [attempt] = delivery["attempts"]
    assert (attempt["ok"], attempt["provider"], attempt["error"]) == (True, "webhook", None)
    counts = (await tenant.execute(COUNTS, id=sent["id"]))["send"]["counts"]
    assert {(row["channel"], row["status"], row["count"]) for row in counts} == {
        ("IN_APP", "DELIVERED", 1),
        ("WEBHOOK", "DELIVERED", 1),
    }


async def test_recorded_outcome_of_a_dead_worker_is_applied_without_another_call(
    tenant: Tenant, receiver: WebhookReceiver, store: Database
) -> None:
    """A worker dies after the transaction that records the outcome, and before the delivery has it."""
    await connect_webhook(tenant, receiver, "alice")
    sent = (await tenant.send("alice", channels=["WEBHOOK"]))["send"]
    await wait_for_deliveries(tenant, "DELIVERED")
    [before] = [doc async for doc in store.deliveries.find({"send": sent["id"]})]
    outcome = {name: before[name] for name in ("status", "updated_at", "attempts", "tries")}
    started = [{name: before["attempts"][0][name] for name in ("at", "provider")}]
    recorded = {"status": "PROCESSING", "claim": "of a dead worker", "attempts": started, "outcome": outcome}
    await store.deliveries.update_one({"_id": before["_id"]}, {"$set": recorded, "$unset": {"tries": ""}})
    ended = {"leased_until": utc_time.now()}
    await store.deliveries.update_one({"_id": before["_id"]}, {"$set": ended})

    async def is_applied() -> bool:
        return await store.deliveries.find_one({"_id": before["_id"]}) == before

    await eventually(is_applied)
    assert len(receiver.bodies["/alice"]) == 1


async def test_deliveries_of_a_notification_are_complete_and_hide_errors_from_users(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda *_: web.Response(status=410)
    await tenant.send("alice", channels=["IN_APP", "WEBHOOK", "EMAIL"])
    await wait_for_deliveries(tenant, "FAILED")
    query = "{ inbox { nodes { deliveries { channel status reason providerId attempts { ok error } } } } }"
    [n] = (await tenant.execute(query, user="alice"))["inbox"]["nodes"]
    assert [(row["channel"], row["status"], row["reason"]) for row in n["deliveries"]] == [
        ("IN_APP", "DELIVERED", None),
        ("EMAIL", "SKIPPED", "NOT_CONFIGURED"),
        ("WEBHOOK", "FAILED", "ADDRESS_GONE"),
    ]
    assert n["deliveries"][2]["attempts"] == [{"ok": False, "error": None}]
    [delivery] = await list_deliveries(tenant)
    assert delivery["attempts"][0]["error"] == "HTTP 410"
    assert (await tenant.execute("{ me { devices { id } } }", user="alice"))["me"]["devices"] == [], (
        "gone, so it is removed"
    )


async def test_device_that_accepted_has_last_used_and_one_that_rejected_has_not(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    for url in ("/yes", "/no"):
        created = (await tenant.execute(CONNECT_WEBHOOK, user="alice", to=f"{receiver.url}{url}"))["connectWebhook"]
        receiver.secrets[url] = created["secret"]
    receiver.responses["/no"] = lambda *_: web.Response(status=413)

    async def used() -> list[str | None]:
        devices = (await tenant.execute("{ me { devices { lastUsedAt } } }", user="alice"))["me"]["devices"]
        return [device["lastUsedAt"] for device in devices]

    await tenant.send("alice", channels=["WEBHOOK"])
    await wait_for_deliveries(tenant, "FAILED")

    async def noted() -> str | None:
        return (await used())[0]

    at = await eventually(noted)
    await tenant.send("alice", channels=["WEBHOOK"])
    await wait_for_deliveries(tenant, "FAILED", 2)
    await wait_for_deliveries(tenant, "DELIVERED", 2)
    assert await used() == [at, None], "at most once an hour"


async def test_feed_that_selects_deliveries_includes_external_channels(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    query = "subscription ($after: Cursor) { inbox(after: $after) { notification { title deliveries { channel status } } } }"
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"], query=query) as feed:
        await tenant.send("alice", title="Live", channels=["IN_APP", "WEBHOOK"])
        [event] = await feed.take(1)
    assert event["notification"]["title"] == "Live"
    assert [row["channel"] for row in event["notification"]["deliveries"]] == ["IN_APP", "WEBHOOK"]


async def test_failure_is_retried_until_it_works_and_every_attempt_is_stored(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda _, times: web.Response(status=503 if times < 3 else 204)
    await tenant.send("alice", channels=["WEBHOOK"])
    [delivery] = await wait_for_deliveries(tenant, "DELIVERED")
    assert [attempt["ok"] for attempt in delivery["attempts"]] == [False, False, True]
    assert delivery["attempts"][0]["error"] == "HTTP 503"
    assert len(receiver.received_at[delivery["id"]]) == 3


async def test_exhausted_attempts_make_a_dead_letter_that_replay_sends_again(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda *_: web.Response(status=500)
    await tenant.send("alice", channels=["WEBHOOK"])
    [dead] = await wait_for_deliveries(tenant, "FAILED")
    assert dead["reason"] == "ATTEMPTS_USED_UP"
    assert len(dead["attempts"]) == 4
    del receiver.responses["/alice"]
    assert (await tenant.execute(REPLAY, f={"channels": ["EMAIL"]}))["replay"] == 0
    assert (await tenant.execute(REPLAY, ids=[dead["id"]]))["replay"] == 1
    [alive] = await wait_for_deliveries(tenant, "DELIVERED")
    assert alive["id"] == dead["id"]
    assert len(alive["attempts"]) == 5
    assert (await tenant.execute(REPLAY, ids=[dead["id"]]))["replay"] == 0


async def test_replay_of_a_retrying_delivery_tries_it_now(
    tenant: Tenant, receiver: WebhookReceiver, fast_deployment: Deployment
) -> None:
    users = ["alice", "bob", "carol"]
    await connect_webhook(tenant, receiver, *users)
    receiver.default_response = lambda *_: web.Response(status=429, headers={"retry-after": "3600"})
    for user in users:
        await tenant.send(user, channels=["WEBHOOK"])
    waiting = {delivery["userId"]: delivery for delivery in await wait_for_deliveries(tenant, "RETRYING", 3)}
    assert all(delivery["dueAt"] for delivery in waiting.values())
    receiver.default_response = lambda *_: 0.0
    assert (await tenant.execute(REPLAY, f={"channels": ["WEBHOOK"]}))["replay"] == 0, "only dead letters"
    assert (await tenant.execute(REPLAY, ids=[waiting["alice"]["id"]]))["replay"] == 1
    [alive] = await wait_for_deliveries(tenant, "DELIVERED")
    assert (alive["userId"], len(alive["attempts"])) == ("alice", 2)
    named = {"userId": "bob", "statuses": ["RETRYING", "DELIVERED"]}
    assert (await tenant.execute(REPLAY, f=named))["replay"] == 1
    await wait_for_deliveries(tenant, "DELIVERED", 2)
    fields = ["--user", "carol", "--url", fast_deployment.urls[0].removesuffix("/graphql"), "--tenant", tenant.name]
    assert run_command("replay", *fields, jwt_secret=SECRET).stdout == "0 deliveries will be sent again.\n"
    assert run_command("replay", "--retrying", *fields, jwt_secret=SECRET).stdout == (
        f"{waiting['carol']['id']}\n1 delivery will be sent again.\n"
    )
    await wait_for_deliveries(tenant, "DELIVERED", 3)


async def test_replay_without_an_address_keeps_the_dead_letter(tenant: Tenant, receiver: WebhookReceiver) -> None:
    await connect_webhook(tenant, receiver, "alice", "bob")
    receiver.responses["/alice"] = lambda *_: web.Response(status=410)
    await tenant.send("alice", channels=["WEBHOOK"])
    [removed] = await wait_for_deliveries(tenant, "FAILED")
    query = "query ($id: ID!) { delivery(id: $id) { status reason updatedAt attempts { ok } } }"
    before = (await tenant.execute(query, id=removed["id"]))["delivery"]
    assert (await tenant.execute(REPLAY, ids=[removed["id"]]))["replay"] == 1

    async def again() -> bool:
        after = (await tenant.execute(query, id=removed["id"]))["delivery"]
        return after["status"] == "FAILED" and after.pop("updatedAt") > before["updatedAt"] and after

    assert await eventually(again) == {"status": "FAILED", "reason": "ADDRESS_GONE", "attempts": [{"ok": False}]}
    assert len(receiver.received_at[removed["id"]]) == 1


async def test_retry_after_is_respected(tenant: Tenant, receiver: WebhookReceiver) -> None:
    await connect_webhook(tenant, receiver, "alice")
    received = {"retry-after": "2"}
    receiver.responses["/alice"] = lambda _, times: web.Response(status=429 if times < 2 else 204, headers=received)
    await tenant.send("alice", channels=["WEBHOOK"])
    [delivery] = await wait_for_deliveries(tenant, "DELIVERED")
    first, second = receiver.received_at[delivery["id"]]
    assert second - first >= 2


async def test_hanging_receiver_is_called_once_at_a_time(tenant: Tenant, receiver: WebhookReceiver) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda _, times: 30.0 if times < 2 else 0.0
    await tenant.send("alice", channels=["WEBHOOK"])
    [delivery] = await wait_for_deliveries(tenant, "DELIVERED")
    first, second = receiver.received_at[delivery["id"]]
    assert second - first >= 2, "the first call had its whole timeout"
    assert [attempt["ok"] for attempt in delivery["attempts"]] == [False, True]


async def test_notification_read_before_it_is_sent_is_skipped(tenant: Tenant, receiver: WebhookReceiver) -> None:
    await connect_webhook(tenant, receiver, "alice")
    receiver.responses["/alice"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
    await tenant.send("alice", channels=["IN_APP", "WEBHOOK"])
    await wait_for_deliveries(tenant, "RETRYING")
    [n] = (await tenant.inbox("alice"))["nodes"]
    await tenant.execute("mutation ($ids: [ID!]!) { markRead(ids: $ids) { changed } }", user="alice", ids=[n["id"]])
    [skipped] = await wait_for_deliveries(tenant, "SKIPPED")
    assert skipped["reason"] == "ALREADY_READ"
    assert skipped["dueAt"] is None
    assert len(receiver.received_at[skipped["id"]]) == 1


async def test_read_in_the_inbox_does_not_change_finished_deliveries(tenant: Tenant, receiver: WebhookReceiver) -> None:
    """READ of a delivery means that its own channel proved it."""
    await connect_webhook(tenant, receiver, "alice")
    sent = (await tenant.send("alice", channels=["IN_APP", "WEBHOOK"]))["send"]
    await wait_for_deliveries(tenant, "DELIVERED")
    receiver.responses["/alice"] = lambda *_: 1.0
    later = (await tenant.send("alice", channels=["IN_APP", "WEBHOOK"]))["send"]
    await wait_for_deliveries(tenant, "PROCESSING")
    await tenant.execute("mutation { markAllRead { changed } }", user="alice")
    both = await wait_for_deliveries(tenant, "DELIVERED", 2)
    assert {one["sendId"] for one in both} == {sent["id"], later["id"]}
    expected = {("IN_APP", "READ"), ("WEBHOOK", "DELIVERED")}
    rows = (await tenant.execute(COUNTS, id=sent["id"]))["send"]["counts"]
    assert {(row["channel"], row["status"]) for row in rows} == expected
    assert not await list_deliveries(tenant, statuses=["READ", "SENT"])


@pytest.mark.parametrize(("field", "status"), [("cancelSend", "CANCELLED"), ("recallSend", "RECALLED")])
async def test_cancelled_or_recalled_send_is_not_delivered(
    tenant: Tenant, receiver: WebhookReceiver, field: str, status: str
) -> None:
    await connect_webhook(tenant, receiver, "alice", "bob")
    for user in ("alice", "bob"):
        receiver.responses[f"/{user}"] = lambda *_: web.Response(status=503, headers={"retry-after": "60"})
    position = (await tenant.inbox("alice"))["position"]
    async with tenant.feed("alice", position) as feed:
        sent = (await tenant.send("alice", "bob", title="Oops", channels=["IN_APP", "WEBHOOK"]))["send"]
        await feed.take(1)
        await wait_for_deliveries(tenant, "RETRYING", 2)
        called_off = await tenant.execute(f"mutation ($id: ID!) {{ {field}(id: $id) {{ id status }} }}", id=sent["id"])
        assert called_off[field] == {"id": sent["id"], "status": status}
        await wait_for_deliveries(tenant, "CANCELLED", 2)
        if field == "recallSend":
            [event] = await feed.take(1)
            assert (event["kind"], event["notification"]["title"], event["unread"]) == ("REMOVED", "", 0)
    expected = 0 if field == "recallSend" else 1
    assert len((await tenant.inbox("alice"))["nodes"]) == expected
    assert [len(calls) for calls in receiver.received_at.values()] == [1, 1]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("mutation ($id: ID!) { cancelSend(id: $id) { id } }", "CANCELLED", "CANCELLED"),
        ("mutation ($id: ID!) { recallSend(id: $id) { id } }", "CANCELLED", "RECALLED"),
        ("mutation { markAllRead { changed } }", "SKIPPED", "ALREADY_READ"),
    ],
)
async def test_delivery_cancelled_during_its_call_is_not_retried(
    tenant: Tenant, receiver: WebhookReceiver, store: Database, query: str, status: str, reason: str
) -> None:
    await connect_webhook(tenant, receiver, "alice")
    called, called_off = asyncio.Event(), asyncio.Event()

    async def busy() -> web.Response:
        called.set()
        await called_off.wait()
        return web.Response(status=503, headers={"retry-after": "600"})

    receiver.responses["/alice"] = lambda *_: busy()
    sent = (await tenant.send("alice", channels=["IN_APP", "WEBHOOK"]))["send"]
    await asyncio.wait_for(called.wait(), 20)
    if "$id" in query:
        await tenant.execute(query, id=sent["id"])
    else:
        await tenant.execute(query, user="alice")

        async def noted() -> bool:  # after the response
            return bool(await store.deliveries.find_one({"tenant": tenant.name, "override": {"$exists": True}}))

        await eventually(noted)
    called_off.set()
    [delivery] = await wait_for_deliveries(tenant, status)
    assert (delivery["reason"], delivery["dueAt"]) == (reason, None)
    assert [attempt["error"] for attempt in delivery["attempts"]] == ["HTTP 503"]


async def test_webhook_endpoint_receives_the_events(tenant: Tenant, receiver: WebhookReceiver) -> None:
    create = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret endpoint { id } } }"
    async with tenant.http.post(
        tenant.next_url(),
        json={"query": create, "variables": {"input": {"url": f"{receiver.url}/events"}}},
        headers={"authorization": f"Bearer {tenant.token(role=Role.ADMIN)}"},
    ) as response:
        created = (await response.json())["data"]["createWebhook"]
    receiver.secrets["/events"] = created["secret"]
    await connect_webhook(tenant, receiver, "alice")
    await tenant.send("alice", channels=["IN_APP", "WEBHOOK"])
    await wait_for_deliveries(tenant, "DELIVERED")
    await tenant.execute("mutation { markAllRead { changed } }", user="alice")

    async def all_told() -> bool:
        return {"notification.created", "delivery.delivered", "notification.seen", "notification.read"} <= {
            received["type"] for received in receiver.bodies["/events"]
        }

    await eventually(all_told)
    assert receiver.invalid_signatures == 0


async def test_webhook_endpoint_is_tested_with_an_event_that_it_does_not_name(
    tenant: Tenant, receiver: WebhookReceiver
) -> None:
    create = {"url": f"{receiver.url}/tested", "events": ["delivery.failed"]}
    created = await execute_as(tenant, CREATE, input=create)
    id, receiver.secrets["/tested"] = created["endpoint"]["id"], created["secret"]
    call = await execute_as(tenant, TEST, id=id)
    assert (call["event"], call["status"]) == ("webhook.test", "ACCEPTED")

    async def delivered() -> bool:
        [endpoint] = await execute_as(tenant, CALLS)
        return [(one["id"], one["status"]) for one in endpoint["calls"]["nodes"]] == [(call["id"], "DELIVERED")]

    await eventually(delivered)
    assert receiver.bodies["/tested"] == [call["payload"]]
    assert receiver.invalid_signatures == 0
    assert (call["payload"]["type"], call["payload"]["data"]) == ("webhook.test", {"endpointId": id})
    await execute_as(tenant, UPDATE, id=id, enabled=False)
    refused = await error_of(tenant, TEST, id=id)
    assert (refused["code"], "Enable it" in refused["message"]) == ("CONFLICT", True)


async def test_replay_command_brings_back_dead_letters(
    tenant: Tenant, receiver: WebhookReceiver, fast_deployment: Deployment
) -> None:
    await connect_webhook(tenant, receiver, "alice", "bob")
    for user in ("alice", "bob"):
        receiver.responses[f"/{user}"] = lambda *_: web.Response(status=413)
    sent = [(await tenant.send(user, channels=["WEBHOOK"]))["send"] for user in ("alice", "bob")]
    dead = {delivery["userId"]: delivery["id"] for delivery in await wait_for_deliveries(tenant, "FAILED", 2)}
    receiver.responses.clear()
    fields = ["--url", fast_deployment.urls[0].removesuffix("/graphql"), "--tenant", tenant.name]

    def replay(*arguments: str) -> str:
        done = run_command("replay", *arguments, *fields, jwt_secret=SECRET)
        return done.stdout + done.stderr

    assert replay("--channel", "email", "--since", "PT1H") == "0 deliveries will be sent again.\n"
    assert replay("--user", "alice", "--until", "PT1H") == "0 deliveries will be sent again.\n"
    assert "this tenant has no send with this id" in replay("--send", dead["bob"])
    assert "BAD_USER_INPUT" in replay("--since", "yesterday")
    assert replay("--send", sent[0]["id"]) == f"{dead['alice']}\n1 delivery will be sent again.\n"
    [alive] = await wait_for_deliveries(tenant, "DELIVERED")
    assert alive["id"] == dead["alice"]
    assert replay(dead["bob"], "--dry-run") == "1 delivery would be sent again.\n       1  REFUSED\n"
    assert replay(dead["bob"]) == f"{dead['bob']}\n1 delivery will be sent again.\n"
    await wait_for_deliveries(tenant, "DELIVERED", 2)
    assert replay("--all") == "0 deliveries will be sent again.\n"
