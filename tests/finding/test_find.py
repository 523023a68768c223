"""`find` and `hub find`: one text finds the user, send, delivery, or notification that it identifies."""

import json
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.audience.tenants import Tenants
from hub.ids import first_id_at
from hub.inbox.inbox_reader import Inboxes
from hub.inbox.notification_lookup import Notifications
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from hub.status.activity import ActivityCounts
from hub.status.deliveries import Deliveries
from hub.status.delivery_ends import DeliveryEnds
from hub.status.digests import Digests
from hub.status.receipt_builder import ReceiptBuilder
from hub.status.send_search import AUDIENCES_READ_MAX, READ_MAX
from hub.status.sends import Sends
from hub.utc_time import now
from hub.workflows.find import RESULTS_MAX, RecordSearch
from tests.channel_setup import UPSERT_USERS, wait_for_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant
from tests.clocks import hub_now
from tests.finding.conftest import Running
from tests.processes import SECRET
from tests.test_inbox_indexes import Commands, explain_stages

FIND = """query ($t: String!) {
  find(text: $t) { kind id title foundBy exact user { id } send { id } delivery { id } notification { id } } }"""
ALICE = {"id": "alice", "name": "Zoë Example", "email": "Alice@example.org", "phone": "+4915112345678"}


async def find(tenant: Tenant, text: str) -> list[Json]:
    found: list[Json] = (await tenant.execute(FIND, t=text))["find"]
    for result in found:
        linked = {kind: result[kind] for kind in ("user", "send", "delivery", "notification") if result[kind]}
        assert linked == {result["kind"].lower(): {"id": result["id"]}}
    return found


async def first_match(tenant: Tenant, text: str) -> tuple[str, str, str, bool] | None:
    found = await find(tenant, text)
    return (found[0]["kind"], found[0]["id"], found[0]["foundBy"], found[0]["exact"]) if found else None


async def test_each_value_finds_its_record_of_the_own_tenant_only(running: Running, acme: Tenant) -> None:
    await acme.execute(UPSERT_USERS, users=[ALICE])
    key = str(uuid4())
    sent = await acme.send(
        "alice", title="Invoice 4711 is ready", channels=["IN_APP", "EMAIL", "WEB_PUSH"], idempotencyKey=key
    )
    send = sent["send"]["id"]
    [email] = await wait_for_deliveries(acme, "SENT")
    notification = email["notificationId"]
    message_id = running.fakes.mail.emails[-1]["Message-ID"]
    assert email["id"] in message_id
    expected = {
        "alice": ("USER", "alice", "ID", True),
        "ali": ("USER", "alice", "ID", False),
        "alice@EXAMPLE.org": ("USER", "alice", "EMAIL", True),
        "alice@ex": ("USER", "alice", "EMAIL", False),
        "+49 151 1234-5678": ("USER", "alice", "PHONE", True),
        "0049151": ("USER", "alice", "PHONE", False),
        "ZOË": ("USER", "alice", "NAME", False),
        send: ("SEND", send, "ID", True),
        send.upper(): ("SEND", send, "ID", True),
        key: ("SEND", send, "IDEMPOTENCY_KEY", True),
        "ready 4711": ("SEND", send, "TITLE", False),
        notification: ("NOTIFICATION", notification, "ID", True),
        email["id"]: ("DELIVERY", email["id"], "ID", True),
        f"{notification}-web_push": ("DELIVERY", f"{notification}-web_push", "ID", True),
        f"{notification}-in_app": ("DELIVERY", f"{notification}-in_app", "ID", True),
        message_id: ("DELIVERY", email["id"], "MESSAGE_ID", True),
        f"Message-ID: {message_id}": ("DELIVERY", email["id"], "MESSAGE_ID", True),
        email["providerId"]: ("DELIVERY", email["id"], "PROVIDER_ID", True),
    }
    assert {text: await first_match(acme, text) for text in expected} == expected
    assert await find(acme, "invoice 4712") == await find(acme, " ") == await find(acme, f"{uuid4()}") == []
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as other:
        assert not [text for text in expected if await find(other, text)]
    for invalid in ("x" * 513, "a\nb"):
        with pytest.raises(GraphQLErrors) as error:
            await find(acme, invalid)
        assert error.value.code == "BAD_USER_INPUT"


async def test_exact_matches_are_first_and_each_record_is_found_once(acme: Tenant) -> None:
    users = [{"id": f"bo{number:03}", "name": "bo"} for number in range(40)] + [{"id": "bo", "email": "bo@x.org"}]
    await acme.execute(UPSERT_USERS, users=users)
    await acme.send("bo", title="bo")
    found = await find(acme, "bo")
    assert (found[0]["id"], found[0]["exact"]) == ("bo", True)
    assert [result["exact"] for result in found] == sorted((result["exact"] for result in found), reverse=True)
    assert len({(result["kind"], result["id"]) for result in found}) == len(found)
    by = {one: [result["id"] for result in found if result["foundBy"] == one] for one in ("ID", "NAME", "TITLE")}
    assert len(by["TITLE"]) == 1
    assert len({*by["ID"], *by["NAME"]}) <= 2 * RESULTS_MAX


async def test_a_send_to_an_audience_is_found_by_its_title_behind_many_others(running: Running, acme: Tenant) -> None:
    sends = running.database["sends"]
    old: Json = {"tenant": acme.name, "category": "news", "status": "ACCEPTED", "created_at": now(), "recipients": 1}
    before = first_id_at(now())[:-12]
    named = [{**old, "_id": f"{before}{number:012}", "content": {"title": "Storm", "body": ""}} for number in range(2)]
    named[1] |= {"audience": {"everyone": True}, "content": {"title": "STORM tomorrow", "body": ""}}
    await sends.insert_many(named)
    assert {result["id"] for result in await find(acme, "storm")} == {send["_id"] for send in named}
    await sends.insert_many([{**old, "_id": f"f{str(uuid4())[1:]}"} for _ in range(READ_MAX)])
    assert [result["title"] for result in await find(acme, "storm")] == ["STORM tomorrow"]
    assert READ_MAX < AUDIENCES_READ_MAX


async def test_every_lookup_uses_an_index_and_sorts_nothing(
    running: Running, acme: Tenant, servers: tuple[Mongod, Redis]
) -> None:
    await acme.execute(UPSERT_USERS, users=[ALICE])
    key = str(uuid4())
    send = (await acme.send("alice", channels=["IN_APP", "EMAIL"], idempotencyKey=key))["send"]["id"]
    [email] = await wait_for_deliveries(acme, "SENT")
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client[running.database.name]
        digests, notifications = Digests(database["deliveries"], hub_now), Notifications(database)
        receipts = ReceiptBuilder(Tenants(database, 100, 5), ActivityCounts(database, hub_now))
        ends = DeliveryEnds(database["deliveries"], hub_now, receipts, digests)
        deliveries = Deliveries(database, hub_now, ends, digests)
        inboxes = Inboxes(database, Settings(jwt_secret=(SECRET,)), hub_now)
        search = RecordSearch(database, inboxes, Sends(database, notifications), deliveries)
        for text in ("alice", "+49151", email["id"], send, key, email["providerId"], "hello"):
            assert await search.find(acme.name, text), text
        assert {command.get("find") or command["aggregate"] for command in commands.sent} == {
            *("users", "sends", "deliveries", "notifications", "idempotency"),
        }
        for command in commands.sent:
            stages = await explain_stages(database, command)
            assert stages & {"IXSCAN", "IDHACK"}, command
            assert not stages & {"COLLSCAN", "SORT"}, (command, stages)


async def test_the_command_prints_json_or_a_table(running: Running, acme: Tenant) -> None:
    await acme.execute(UPSERT_USERS, users=[ALICE])
    options = ["--url", base_url(running.deployment), "--tenant", acme.name]
    shown = run_command("find", "alice@example.org", *options, jwt_secret=SECRET)
    assert (shown.returncode, shown.stderr) == (0, "")
    [result] = json.loads(shown.stdout)
    assert (result["kind"], result["id"], result["foundBy"]) == ("USER", "alice", "EMAIL")
    assert result["consoleUrl"] == f"{base_url(running.deployment)}/console/users/alice"
    table = run_command("find", "alice@example.org", *options, "--output", "table", jwt_secret=SECRET)
    header, row, link = table.stdout.splitlines()
    assert header.split() == ["KIND", "ID", "FOUND", "BY", "TITLE", "DETAILS"]
    assert row.split() == [
        "USER",
        "alice",
        "email",
        "Zoë",
        "Example",
        "email=Alice@example.org",
        "phone=+4915112345678",
    ]
    assert link == f"Console: {base_url(running.deployment)}/console/find?q=alice%40example.org"
    await acme.send("alice", title="alice")
    kinds = [row["kind"] for row in json.loads(run_command("find", "alice", *options, jwt_secret=SECRET).stdout)]
    assert sorted(kinds) == ["SEND", "USER"]
    [only] = json.loads(run_command("users", "find", "alice", *options, jwt_secret=SECRET).stdout)
    assert only["kind"] == "USER"
    missing = run_command("find", "nobody", *options, jwt_secret=SECRET)
    assert (missing.returncode, json.loads(missing.stdout)) == (1, [])
    assert "Nothing was found" in missing.stderr
