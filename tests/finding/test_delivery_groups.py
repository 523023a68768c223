"""Facts about a delivery, and failed deliveries grouped by what failed."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from pymongo import AsyncMongoClient

from hub.errors import TooLarge
from hub.model import Channel, DeliveryStatus
from hub.platform.embedded_servers import Mongod, Redis
from hub.status import failure_groups
from hub.status.deliveries import COUNT_MAX
from hub.status.delivery_query import DeliveryQuery
from hub.status.failure_groups import FailureGroups, without_ids
from hub.utc_time import now
from tests.channel_setup import UPSERT_USERS, connect_webhook, list_deliveries, wait_for_deliveries
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant
from tests.finding.conftest import Running
from tests.processes import SECRET
from tests.test_inbox_indexes import Commands, explain_stages
from tests.webhook_receiver import WebhookReceiver

FACTS = """query ($id: ID!) { delivery(id: $id) {
  status category provider lastError createdAt sentAt deliveredAt clickedAt releasedAt traceId attempts { at durationMs }
  notification { id title } } }"""
GROUPS = """query ($f: DeliveryFilter) {
  deliveryGroups(filter: $f) { channel provider reason error count exampleId lastAt } }"""


async def facts(tenant: Tenant, id: str, user: str | None = None) -> Json:
    found: Json = (await tenant.execute(FACTS, id=id, user=user))["delivery"]
    return found


async def groups(tenant: Tenant, **filter: Any) -> list[Json]:
    found: list[Json] = (await tenant.execute(GROUPS, f=filter or None))["deliveryGroups"]
    return found


async def fail_emails(running: Running, tenant: Tenant, *replies: str) -> list[Json]:
    """Send one email for each reply of the mail server. Return the failed deliveries, newest first."""
    await tenant.execute(UPSERT_USERS, users=[{"id": "al", "email": "al@people.example"}])
    for count, reply in enumerate(replies, 1):
        running.fakes.mail.replies = {"RCPT": reply}
        await tenant.send("al", channels=["IN_APP", "EMAIL"], title=f"Number {count}")
        failed = await wait_for_deliveries(tenant, "FAILED", count)
    return failed


async def test_a_delivery_has_the_facts_of_its_attempts(running: Running, acme: Tenant) -> None:
    [failed] = await fail_emails(running, acme, "550 5.7.1 Rejected by policy")
    found = await facts(acme, failed["id"])
    assert (found["status"], found["category"], found["provider"]) == ("FAILED", "news", "smtp")
    assert found["lastError"] == "550 5.7.1 Rejected by policy"
    assert found["notification"] == {"id": failed["notificationId"], "title": "Number 1"}
    assert not any(found[name] for name in ("sentAt", "deliveredAt", "clickedAt", "releasedAt", "traceId"))
    running.fakes.mail.clear_fault()
    await acme.execute("mutation ($ids: [ID!]) { replay(ids: $ids) }", ids=[failed["id"]])
    await wait_for_deliveries(acme, "SENT")
    found = await facts(acme, failed["id"])
    called = found["attempts"][-1]
    finished_at = datetime.fromisoformat(called["at"]) + timedelta(milliseconds=called["durationMs"])
    assert datetime.fromisoformat(found["sentAt"]) == finished_at
    assert (found["lastError"], found["deliveredAt"]) == (None, None)
    async with WebhookReceiver() as receiver:
        await connect_webhook(acme, receiver, "bo")
        await acme.send("bo", channels=["WEBHOOK"])
        [delivered] = await wait_for_deliveries(acme, "DELIVERED")
    found = await facts(acme, delivered["id"])
    assert found["createdAt"] <= found["sentAt"] <= found["deliveredAt"]
    errors = "{ inbox(first: 10) { nodes { deliveries { channel lastError traceId sentAt } } } }"
    nodes = (await acme.execute(errors, user="al"))["inbox"]["nodes"]
    assert {row["lastError"] for node in nodes for row in node["deliveries"]} == {None}


async def test_failures_with_the_same_error_are_one_group(running: Running, acme: Tenant) -> None:
    rejected = "550 5.7.1 Rejected, see log"
    failed = await fail_emails(
        running,
        acme,
        *(f"{rejected} {uuid4().hex[:10]}1" for _ in range(3)),
        "451 4.7.1 Later",
        "550 5.1.1 Unknown user",  # the last one, because it suppresses the address
    )
    assert {(row["reason"], len(row["attempts"])) for row in failed} == {
        *(("REFUSED", 1), ("ADDRESS_GONE", 1), ("ATTEMPTS_USED_UP", 2)),
    }
    async with WebhookReceiver() as receiver:
        receiver.responses["/bo"] = lambda *_: web.Response(status=413)
        await connect_webhook(acme, receiver, "bo")
        await acme.send("bo", channels=["WEBHOOK"])
        [webhook, *_] = await wait_for_deliveries(acme, "FAILED", 6)
    found = await groups(acme)
    assert [(row["channel"], row["provider"], row["reason"], row["error"], row["count"]) for row in found[:1]] == [
        ("EMAIL", "smtp", "REFUSED", f"{rejected} *", 3)
    ]
    newest = max((row for row in failed if row["reason"] == "REFUSED"), key=lambda row: row["id"])
    assert found[0]["exampleId"] == newest["id"]
    assert {(row["reason"], row["error"], row["count"]) for row in found[1:]} == {
        ("ADDRESS_GONE", "550 5.1.1 Unknown user", 1),
        ("ATTEMPTS_USED_UP", "451 4.7.1 Later", 1),
        ("REFUSED", "HTTP 413", 1),
    }
    for filter, expected in (
        ({"channels": ["WEBHOOK"]}, [webhook["id"]]),
        ({"userId": "bo"}, [webhook["id"]]),
        ({"sendId": webhook["sendId"]}, [webhook["id"]]),
        ({"failedUntil": "2020-01-01T00:00:00Z"}, []),
        ({"error": "HTTP 413"}, [webhook["id"]]),
        ({"error": "413"}, []),
        ({"error": "$attempts"}, []),
        ({"statuses": ["RETRYING", "SENT"]}, []),
        ({"statuses": ["SENT"]}, []),
    ):
        assert [row["exampleId"] for row in await groups(acme, **filter)] == expected, filter
    [same] = await groups(acme, error=rejected)
    assert (same["exampleId"], same["count"]) == (newest["id"], 3)
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as other:
        assert await groups(other) == await groups(other, sendId=webhook["sendId"]) == []
    with pytest.raises(GraphQLErrors, match="includeDecided"):
        await groups(acme, userId="al", includeDecided=True)
    for filter, message in (
        ({"error": "x" * 1025}, "1,024"),
        ({"error": "x", "includeDecided": True}, "includeDecided"),
    ):
        with pytest.raises(GraphQLErrors, match=message):
            await list_deliveries(acme, userId="al", **filter)


async def test_the_command_lists_and_groups_deliveries(running: Running, acme: Tenant) -> None:
    [failed] = await fail_emails(running, acme, "550 5.7.1 Rejected")
    command = ["deliveries", "--url", base_url(running.deployment), "--tenant", acme.name]
    groups = run_command(*command, "--groups", "--failed-since", "1h", jwt_secret=SECRET)
    assert (groups.returncode, groups.stderr) == (0, "")
    [group] = json.loads(groups.stdout)
    assert (group["exampleId"], group["count"], group["error"]) == (failed["id"], 1, "550 5.7.1 Rejected")
    table = run_command(*command, "--groups", "--output", "table", jwt_secret=SECRET).stdout.splitlines()
    assert table[1].split()[:4] == ["1", "EMAIL", "smtp", "REFUSED"]
    options = ("--user", "al", "--decided", "--status", "failed", "--status", "delivered", "--since", "PT1H")
    listed = run_command(*command, *options, jwt_secret=SECRET)
    assert [row["channel"] for row in json.loads(listed.stdout)] == ["IN_APP", "EMAIL"]
    shown = run_command(*command, *options, "--limit", "1", "--output", "table", jwt_secret=SECRET).stdout.splitlines()
    assert shown[1].split()[1:5] == [f"{failed['notificationId']}-in_app", "al", "IN_APP", "DELIVERED"]
    assert shown[2] == "1 of 2"
    missing = run_command(*command, "--decided", jwt_secret=SECRET)
    assert (missing.returncode, missing.stderr) == (2, "--decided requires --user or --send.\n")


async def test_the_command_counts_failures_by_one_field(running: Running, acme: Tenant) -> None:
    failed = await fail_emails(running, acme, "550 5.7.1 One", "550 5.7.1 Two", "550 5.1.1 Unknown user")
    command = ["deliveries", "--url", base_url(running.deployment), "--tenant", acme.name]
    counted = run_command(*command, "--failed", "--since", "1h", "--group", "reason", jwt_secret=SECRET)
    assert (counted.returncode, counted.stderr) == (0, "")
    rows = json.loads(counted.stdout)
    assert [(row["reason"], row["count"]) for row in rows] == [("REFUSED", 2), ("ADDRESS_GONE", 1)]
    newest = max((row for row in failed if row["reason"] == "REFUSED"), key=lambda row: row["id"])
    assert rows[0]["exampleId"] == newest["id"]
    options = ("--failed", "--since", "1h", "--group", "Channel", "--output", "table")
    table = run_command(*command, *options, jwt_secret=SECRET).stdout.splitlines()
    assert [line.split()[:2] for line in table] == [["COUNT", "CHANNEL"], ["3", "EMAIL"]]
    assert json.loads(run_command(*command, "--failed", "--until", "1h", "--groups", jwt_secret=SECRET).stdout) == []
    listed = run_command(*command, "--failed", "--since", "1h", jwt_secret=SECRET)
    assert {row["id"] for row in json.loads(listed.stdout)} == {row["id"] for row in failed}
    for refusal, message in (
        (("--failed-since", "1h"), "With --failed, use --since and --until, not --failed-since and --failed-until.\n"),
        (("--status", "sent"), "Use either --failed or --status.\n"),
    ):
        refused = run_command(*command, "--failed", *refusal, jwt_secret=SECRET)
        assert (refused.returncode, refused.stderr) == (2, message)


def test_an_error_without_ids_keeps_codes_and_words() -> None:
    for error, expected in (
        ("HTTP 503", "HTTP 503"),
        ("connection to smtp.example.org:2525 refused", "connection to smtp.example.org:2525 refused"),
        ("request 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed", "request * failed"),
        ("451 queued as 4F2A1B3C9D", "451 queued as *"),
        ("InternalServerError", "InternalServerError"),
    ):
        assert without_ids(error) == expected


async def test_grouping_uses_an_index_and_is_bounded(
    running: Running, acme: Tenant, servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"tenant": acme.name, "mailbox": f"{acme.name}/al", "channel": "EMAIL", "status": "FAILED", "send": "s"}
    failures = [
        {**common, "_id": f"{uuid4()}-email", "reason": "REFUSED", "updated_at": now()} for _ in range(COUNT_MAX)
    ]
    await running.database["deliveries"].insert_many([*failures, {**failures[0], "_id": f"{uuid4()}-email"}])
    [group] = await groups(acme)
    assert (group["count"], group["provider"], group["error"]) == (COUNT_MAX, None, None)
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client[running.database.name]
        reader = FailureGroups(database)
        for query in (
            DeliveryQuery(),
            DeliveryQuery(failed_since=now() - timedelta(days=1), channels=(Channel.EMAIL,)),
            DeliveryQuery(statuses=(DeliveryStatus.FAILED, DeliveryStatus.RETRYING), category="news"),
            DeliveryQuery(mailbox=f"{acme.name}/al"),
            DeliveryQuery(send="s", since=now()),
        ):
            await reader.list(acme.name, query)
        for command in commands.sent:
            stages = await explain_stages(database, command)
            assert "IXSCAN" in stages
            assert not stages & {"COLLSCAN", "SORT"}, (command, stages)
        monkeypatch.setattr(failure_groups, "COUNT_S", 0.000001)
        with pytest.raises(TooLarge):
            await reader.list(acme.name, DeliveryQuery())
