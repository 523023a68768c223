"""Enrichment: before a send is decided, a worker fetches more data from the tenant, and templates read it."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from aiohttp import web

from docs.examples.enrich import app
from hub.ids import new_secret
from hub.platform.circuit_breaker import FAILURE_THRESHOLD
from hub.platform.connections import Database
from hub.send.worker import TENANT_SHARE
from tests import rule_calls, template_calls
from tests.audit_calls import audit_log
from tests.channel_setup import UPSERT_USERS, connect_webhook
from tests.client import Json, eventually
from tests.conftest import scaled
from tests.enrichment_setup import CONCURRENCY, PAST, SENT, TEXT, Enriched, held, record
from tests.graphql_errors import expect_error
from tests.processes import Deployment
from tests.webhook_receiver import WebhookReceiver

READ = "{ categories { key enrichment { url ttl timeout onFailure } } }"
READ_AS_USER = "{ preferences { categories { category { key enrichment { url } } } } }"
LINK_LOCAL = "http://169.254.169.254/latest/meta-data"
ASKING = {"title": "{% if enriched %}Is {{ enriched.state }}{% else %}Unknown{{ enriched.a.b }}{% endif %}", "body": ""}


async def test_templates_read_the_answer_of_one_signed_call_per_send(shop: Enriched) -> None:
    """In the inbox and on other channels. Repeating the request while it is PREPARING sends nothing."""
    await shop.set_up()
    await shop.define_category(
        "orders", "IN_APP", "WEBHOOK", enrichment={"url": f"{shop.receiver.url}{shop.path}", "timeout": "PT30S"}
    )
    await connect_webhook(shop, shop.receiver, "ann")
    release = shop.hold(SENT)
    given: Json = {"template": {"key": "order", "data": {"b": 1, "order": 8}}, "idempotencyKey": "one"}
    sent = await shop.send_order("ann", "ben", "cay", **given)
    assert (sent["duplicate"], sent["send"]["status"], sent["send"]["total"]) == (False, "PREPARING", None)
    id = sent["send"]["id"]
    await shop.called(id)
    again = await shop.send_order("ann", "ben", "cay", **given)
    assert (again["duplicate"], again["send"]["id"], again["send"]["status"]) == (True, id, "PREPARING")
    assert await shop.titles("ann") == []
    release.set()

    send = await shop.prepared(id)
    assert (send["status"], send["recipients"], send["title"]) == ("ACCEPTED", 3, "Order 8: shipped")
    for user in ("ann", "ben", "cay"):
        [n] = (await shop.execute("{ inbox { nodes { title body data } } }", user=user))["inbox"]["nodes"]
        assert n == {"title": "Order 8: shipped", "body": "with **care**", "data": {"order": 7}}
    assert len(shop.receiver.received_at[id]) == 1
    assert shop.receiver.bodies[shop.path] == [{"b": 1, "order": 8}], "what the template reads as `data`"

    async def arrived() -> Any:
        return shop.receiver.bodies["/ann"]

    [message] = await eventually(arrived)
    assert message["data"]["title"] == "Order 8: shipped"
    assert "margin" not in str(message)
    assert shop.receiver.invalid_signatures == 0


async def test_sends_to_all_users_later_and_by_a_rule_are_enriched(shop: Enriched) -> None:
    await shop.set_up()
    shop.answer(SENT)
    await shop.execute(UPSERT_USERS, users=[{"id": user} for user in ("ann", "ben")])
    later_at = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    later = await shop.send_order("ann", sendAt=later_at, data={"order": 2})
    everyone = await shop.send_order(to={"everyone": True}, data={"order": 1})
    assert (later["send"]["status"], everyone["send"]["status"]) == ("SCHEDULED", "PREPARING")
    await rule_calls.upsert_rule(shop, template="order", content=None, data="data", to={"users": "data.customer"})
    result = (await rule_calls.run(shop, {"order": 3, "customer": "ann"}))["shipped"]
    for id in (later["send"]["id"], everyone["send"]["id"], result["send"]["id"]):
        assert (await shop.prepared(id))["status"] == "ACCEPTED"
        assert len(shop.receiver.received_at[id]) == 1
    assert sorted(await shop.titles("ann")) == ["Order 1: shipped", "Order 2: shipped", "Order 3: shipped"]
    assert await shop.titles("ben") == ["Order 1: shipped"]


async def test_failed_calls_end_as_the_category_says(shop: Enriched, store: Database) -> None:
    """Slow, failing, huge, not JSON, not an object, redirecting, and private, under SEND, RETRY, and FAIL; and a
    CRITICAL send, which waits at most 2 s for a slow answer and is not retried."""
    await shop.set_up()
    kinds = ("slow", "failing", "huge", "text", "list", "redirecting", "private")
    release = shop.hold(SENT, "/slow")
    shop.answer({}, 503, "/failing")
    shop.answer({"text": "x" * 33_000}, path="/huge")
    shop.answer("<html>", path="/text")
    shop.answer([SENT], path="/list")
    shop.answer(SENT, path="/target")
    moved = {"location": f"{shop.receiver.url}/target"}
    shop.receiver.responses["/redirecting"] = lambda *_: web.Response(status=302, headers=moved)
    secret = shop.receiver.secrets[shop.path]
    shop.receiver.secrets |= {f"/{kind}": secret for kind in (*kinds, "target")}
    cases = [(kind, policy) for policy in ("SEND", "RETRY", "FAIL") for kind in (*kinds, "late")]
    cases = [case for case in cases if case not in scaled([("slow", "RETRY")], [])]
    sends: dict[tuple[str, str], str] = {}

    async def enrich(kind: str, policy: str) -> None:
        path, timeout = ("/slow", "PT30S") if kind == "late" else (f"/{kind}", "PT1S")
        await shop.enrich(f"{kind} {policy}", path, onFailure=policy, timeout=timeout)

    async def start(kind: str, policy: str) -> None:
        urgent = {"priority": "CRITICAL"} if kind == "late" else {}
        fields = {"category": f"{kind} {policy}", "template": None, "content": TEXT, **urgent}
        sends[kind, policy] = (await shop.send_order("ann", **fields))["send"]["id"]

    await asyncio.gather(*(enrich(*case) for case in cases))
    private = {"$set": {"categories.$[c].enrichment.url": LINK_LOCAL}, "$inc": {"version": 1}}
    await store.tenants.update_one({"_id": shop.name}, private, array_filters=[{"c.key": {"$regex": "^private"}}])
    await asyncio.gather(*(start(*case) for case in cases))
    ends = {key: await shop.prepared(id) for key, id in sends.items()}
    for (kind, policy), send in ends.items():
        expected = ("ACCEPTED", None) if policy == "SEND" else ("FAILED", "ENRICHMENT")
        assert (send["status"], send["reason"]) == expected, (kind, policy)
        calls = 0 if kind == "private" else 2 if policy == "RETRY" and kind != "late" else 1
        assert len(shop.receiver.received_at[sends[kind, policy]]) == calls, (kind, policy)
    assert not release.is_set(), "the CRITICAL sends did not wait for the answer"
    assert await shop.titles("ann") == ["Text"] * (len(kinds) + 1)
    assert shop.receiver.bodies["/target"] == [], "redirects are not followed"
    refused = shop.define_category("new", "IN_APP", enrichment={"url": LINK_LOCAL})
    assert await expect_error(refused) == ("BAD_USER_INPUT", "input.enrichment.url")


async def test_retried_call_succeeds_and_a_template_that_needs_the_answer_says_what_is_missing(shop: Enriched) -> None:
    await shop.set_up(onFailure="RETRY")
    answers = iter([web.Response(status=500), web.json_response({"detail": "-"}), web.json_response(SENT)])
    shop.receiver.responses[shop.path] = lambda *_: next(answers)
    id = (await shop.send_order("ann"))["send"]["id"]
    send = await shop.prepared(id)
    assert (send["status"], len(shop.receiver.received_at[id])) == ("FAILED", 2)
    assert "enriched.state" in send["reason"]
    assert (await shop.prepared((await shop.send_order("ann"))["send"]["id"]))["status"] == "ACCEPTED"
    assert await shop.titles("ann") == ["Order 7: shipped"]


async def test_waiting_send_says_why_its_last_call_failed(shop: Enriched) -> None:
    await shop.set_up(onFailure="RETRY", timeout="PT30S")
    release = asyncio.Event()

    async def succeed() -> web.Response:
        await release.wait()
        return web.json_response(SENT)

    shop.receiver.responses[shop.path] = lambda _, calls: web.Response(status=404) if calls == 1 else succeed()
    id = (await shop.send_order("ann"))["send"]["id"]
    await shop.called(id, 2)
    waiting = await shop.get(id)
    assert waiting["status"] == "PREPARING"
    assert "404" in waiting["reason"]
    release.set()
    sent = await shop.prepared(id)
    assert (sent["status"], sent["reason"]) == ("ACCEPTED", None)


async def test_answers_are_cached_per_tenant_set_up_and_data(
    shop: Enriched, running: Deployment, receiver: WebhookReceiver, store: Database
) -> None:
    async with Enriched(running, receiver) as other:
        other.path = shop.path
        await other.set_up(ttl="PT1H")
        await shop.set_up(ttl="PT1H")  # the same URL; its secret verifies the calls of this tenant only
        shop.answer(SENT)
        assert (await shop.simulated())["note"].startswith("The enrichment is not cached")
        simulated = await shop.simulated(enrich=True)
        assert (simulated["title"], simulated["note"]) == (
            "Order 7: shipped",
            "The user does not exist and would be created.",
        )
        both = {"tenant": {"$in": [shop.name, other.name]}}
        assert await store.enrichment_cache.count_documents(both) == 0, "a simulation stores nothing"

        async def send(**more: Any) -> int:
            """Send, and return the number of calls."""
            id = (await shop.send_order("ann", **more))["send"]["id"]
            assert (await shop.prepared(id))["status"] == "ACCEPTED"
            return len(receiver.received_at[id])

        assert await send(data={"order": 7, "b": 2}) == 1

        async def cached(count: int) -> None:
            match = {"tenant": shop.name, "answer": {"$exists": True}}
            await eventually(lambda: _equals(store.enrichment_cache.count_documents(match), count))

        await cached(1)
        assert await send(data={"b": 2, "order": 7}) == 0, "the order of the keys does not matter"
        assert (await shop.simulated(data={"b": 2, "order": 7}))["title"] == "Order 7: shipped"
        assert await send(data={"order": 8}) == 1
        await shop.enrich("orders", ttl="PT1H", timeout="PT4S")
        assert await send(data={"order": 8}) == 1, "the set-up has changed"

        [orders] = (await store.tenants.find_one({"_id": shop.name}) or {})["categories"]
        same = {"$set": {"categories.0.enrichment": orders["enrichment"]}, "$inc": {"version": 1}}
        await store.tenants.update_one({"_id": other.name}, same)  # also the same revision
        rejected = receiver.invalid_signatures
        id = (await other.send_order("ann", data={"order": 8}))["send"]["id"]
        assert (await other.prepared(id))["title"] == "Order 8:", "it goes without an answer"
        assert (len(receiver.received_at[id]), receiver.invalid_signatures) == (1, rejected + 1)

        await cached(3)
        assert await shop.execute_as_admin('mutation { deleteCategory(key: "orders") }') == {"deleteCategory": True}
        assert await store.enrichment_cache.count_documents({"tenant": shop.name}) == 0


async def _equals(found: Any, expected: int) -> bool:
    return bool(await found == expected)


async def test_stopped_and_late_sends_and_erased_users(shop: Enriched, store: Database) -> None:
    """While the call waits: cancel, recall, pause and resume, erase a user, and reach the longest time. Answers to
    calls before the erasure are not cached."""
    await shop.set_up(timeout="PT30S", ttl="PT1H")
    release = shop.hold(SENT)

    async def send(*users: str, **more: Any) -> str:
        id = str((await shop.send_order(*users, **more))["send"]["id"])
        await shop.called(id)
        return id

    cancelled, recalled, paused = await send("ann"), await send("ann"), await send("ann", data={"order": 1})
    erased, late = await send("ben", "cay", data={"order": 2}), await send("dan", template=None, content=TEXT)
    assert await shop.change("cancelSend", cancelled) == "CANCELLED"
    assert await shop.change("recallSend", recalled) == "RECALLED"
    assert await shop.change("pauseSend", paused) == "PAUSED"
    assert await shop.execute_as_admin('mutation { deleteUser(id: "ben") }') == {"deleteUser": False}
    await store.sends.update_one({"_id": late}, {"$set": {"prepare_by": PAST}})
    assert (await shop.prepared(late))["status"] == "ACCEPTED"
    release.set()
    assert (await shop.prepared(erased))["recipients"] == 1

    await held(store, paused, "PAUSED")
    assert await shop.change("resumeSend", paused) == "PREPARING"
    assert (await shop.prepared(paused))["status"] == "ACCEPTED"
    match = {"tenant": shop.name, "answer": {"$exists": True}}
    await eventually(lambda: store.enrichment_cache.find_one(match))
    assert await store.enrichment_cache.count_documents(match) == 1
    assert len(shop.receiver.received_at[paused]) == 2
    assert (await shop.titles("ann"), await shop.titles("cay")) == (["Order 1: shipped"], ["Order 2: shipped"])
    assert await shop.titles("dan") == ["Text"]
    assert [(await shop.get(id))["status"] for id in (cancelled, recalled)] == ["CANCELLED", "RECALLED"]
    assert await store.users.find_one({"_id": f"{shop.name}/ben"}) is None


async def test_worker_that_dies_and_workers_that_are_away(shop: Enriched, running: Deployment, store: Database) -> None:
    """The call is repeated with the same id. A CRITICAL send goes without its answer, which its template can ask for.
    One that must not go without it waits for its call."""
    await shop.set_up(onFailure="FAIL", timeout="PT30S")
    await template_calls.upsert(shop, **ASKING)
    await shop.enrich("loose")
    release = shop.hold(SENT)
    id = (await shop.send_order("ann"))["send"]["id"]
    await shop.called(id)
    [worker] = running.workers
    worker.kill()
    fields = {"priority": "CRITICAL"}
    strict, loose = [
        (await shop.send_order("ann", category=one, **fields))["send"]["id"] for one in ("orders", "loose")
    ]
    assert (await shop.prepared(loose))["title"] == "Unknown"
    waiting = await record(store, strict)
    assert (waiting["status"], waiting["prepare_for_ms"]) == ("PREPARING", 3_600_000)
    release.set()
    await worker.start()
    assert (await shop.prepared(strict))["status"] == "ACCEPTED"
    await store.enrichment_jobs.update_one({"_id": id}, {"$set": {"leased_until": PAST}})  # longer than a test
    await shop.called(id, 2)
    assert (await shop.prepared(id))["status"] == "ACCEPTED"
    assert [len(shop.receiver.received_at[one]) for one in (strict, loose)] == [1, 0]
    assert await shop.titles("ann") == ["Is shipped", "Is shipped", "Unknown"]


async def test_critical_send_does_not_wait_for_slow_calls(shop: Enriched) -> None:
    await shop.set_up(timeout="PT30S")
    release = shop.hold(SENT)
    slow = await asyncio.gather(*(shop.send_order("ann") for _ in range(int(CONCURRENCY * TENANT_SHARE))))
    await asyncio.gather(*(shop.called(one["send"]["id"]) for one in slow))
    await shop.called((await shop.send_order("ann", priority="CRITICAL"))["send"]["id"])
    release.set()


async def test_resumed_send_waits_as_long_as_a_new_one(shop: Enriched, store: Database) -> None:
    """By its policy, and at most until it expires. One that an older version resumed is called again."""
    await shop.set_up(timeout="PT30S")
    await shop.enrich("retried", timeout="PT30S", onFailure="RETRY")
    release = shop.hold(SENT)
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
    kinds: list[Json] = [{}, {"category": "retried", "expiresAt": soon.isoformat()}, {"category": "retried"}]
    loose, expiring, old = [(await shop.send_order("ann", **fields))["send"]["id"] for fields in kinds]
    for id in (loose, expiring, old):
        await shop.called(id)
        await shop.change("pauseSend", id)
    await asyncio.gather(*(shop.change("resumeSend", id) for id in (loose, expiring)))
    found = await record(store, loose)
    assert found["prepare_by"] - found["resumed_at"] < timedelta(minutes=3)
    assert (await record(store, expiring))["prepare_by"] == soon
    await store.sends.update_one({"_id": expiring}, {"$set": {"expires_at": PAST, "prepare_by": PAST}})
    assert (await shop.prepared(expiring))["status"] == "EXPIRED"
    release.set()
    await held(store, old, "PAUSED")
    as_old_version = {"$set": {"status": "PREPARING"}, "$unset": {"paused_from": "", "paused_reason": ""}}
    await store.sends.update_one({"_id": old}, as_old_version)
    assert (await shop.prepared(old))["title"] == "Order 7: shipped"


async def test_breaker_counts_failures_of_the_url_and_sends_that_need_the_answer_wait(
    shop: Enriched, store: Database
) -> None:
    """Simulations and unknown orders do not open it."""
    await shop.set_up(onFailure="FAIL")
    shop.answer({}, 503)
    notes = await asyncio.gather(*(shop.simulated(enrich=True) for _ in range(10)))
    assert all("HTTP 503" in one["note"] for one in notes)

    async def send() -> Json:
        """Send, and return the job when it is held or has ended."""
        match = {"_id": (await shop.send_order("ann"))["send"]["id"], "status": {"$in": ["HELD", "DELIVERED"]}}
        job: Json = await eventually(lambda: store.enrichment_jobs.find_one(match))
        return job

    shop.answer({}, 404)
    ended = await asyncio.gather(*(send() for _ in range(10)))
    assert [(job["status"], len(shop.receiver.received_at[job["_id"]])) for job in ended] == [("DELIVERED", 1)] * 10
    shop.answer({}, 503)
    failed = 0
    while (job := await send())["status"] == "DELIVERED" and failed < 2 * FAILURE_THRESHOLD:
        failed += 1
    assert failed >= FAILURE_THRESHOLD
    assert (job["status"], shop.receiver.received_at[job["_id"]]) == ("HELD", [])
    assert "circuit breaker" in job["attempts"][0]["error"]


async def test_secret_is_the_tenants_and_only_admins_see_the_set_up(shop: Enriched, store: Database) -> None:
    """After a rotation, both secrets sign. The secret that the first category creates is never shown."""
    await shop.enrich("early")
    before = (await store.tenants.find_one({"_id": shop.name}) or {})["enrichment_secrets"]
    assert [len(one["secrets"]) for one in before] == [1]
    first = await shop.rotate()
    second = await shop.rotate()
    assert first != second
    for secret in (first, second):
        shop.receiver.secrets[shop.path] = secret
        shop.answer(SENT)
        fields = {"category": "early", "template": None, "content": TEXT}
        id = (await shop.send_order("ann", **fields))["send"]["id"]
        assert (await shop.prepared(id))["status"] == "ACCEPTED"
    assert (len(shop.receiver.bodies[shop.path]), shop.receiver.invalid_signatures) == (2, 0)

    [category] = (await shop.execute_as_admin(READ))["categories"]
    url = f"{shop.receiver.url}{shop.path}"
    assert category["enrichment"] == {"url": url, "ttl": "PT0S", "timeout": "PT5S", "onFailure": "SEND"}
    assert (await shop.execute(READ))["categories"] == [{"key": "early", "enrichment": None}]
    found = (await shop.execute(READ_AS_USER, user="ann"))["preferences"]["categories"]
    assert [one["category"] for one in found] == [{"key": "early", "enrichment": None}]
    assert await expect_error(shop.execute("mutation { rotateEnrichmentSecret { secret } }")) == ("FORBIDDEN", None)
    entries = await audit_log(shop)
    actions = ["upsertCategory", "rotateEnrichmentSecret", "rotateEnrichmentSecret"]
    assert sorted(entry["action"] for entry in entries) == sorted(actions)
    assert not [one for one in (first, second, shop.path) if one in str(entries)]


async def test_example_of_the_guide_answers_calls_that_its_secret_signs(
    shop: Enriched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.set_up()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/enrich"
        for policy, secret in (("FAIL", shop.receiver.secrets[shop.path]), ("RETRY", new_secret())):
            monkeypatch.setenv("ENRICHMENT_SECRET", secret)
            await shop.define_category("orders", "IN_APP", enrichment={"url": url, "onFailure": policy})
            await shop.prepared((await shop.send_order("ann", data={"order": 1042}))["send"]["id"])
            await shop.prepared((await shop.send_order("ann", data={"order": 1}))["send"]["id"])
    finally:
        server.should_exit = True
        await serving
    assert await shop.titles("ann") == ["Order 1042: shipped"]
