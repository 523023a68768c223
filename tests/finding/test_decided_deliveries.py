"""`deliveries(filter: {includeDecided: true})`: what left, and what was decided against, in one list."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.audience.tenants import Tenants
from hub.ids import first_id_at
from hub.inbox.notification_lookup import Notifications
from hub.model import Channel, DeliveryStatus
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.activity import ActivityCounts
from hub.status.decided_deliveries import EXAMINED_MAX, DecidedDeliveries
from hub.status.deliveries import Deliveries
from hub.status.delivery_ends import DeliveryEnds
from hub.status.delivery_query import DeliveryQuery
from hub.status.digests import Digests
from hub.status.receipt_builder import ReceiptBuilder
from hub.utc_time import now
from tests.channel_setup import UPSERT_USERS, wait_for_deliveries
from tests.client import GraphQLErrors, Json, Tenant
from tests.clocks import hub_now
from tests.finding.conftest import Running
from tests.inbox_data import FAR_FUTURE
from tests.preference_calls import update_preferences
from tests.template_sends import send_template, store_template
from tests.test_inbox_indexes import Commands, explain_stages

ROW = "id userId sendId notificationId channel status reason createdAt attempts { provider }"
PAGE = f"""query ($f: DeliveryFilter, $n: Int, $a: String) {{
  deliveries(filter: $f, first: $n, after: $a) {{ totalCount nodes {{ {ROW} }} pageInfo {{ hasNextPage endCursor }} }} }}"""
OF_SEND = f"""query ($id: ID!, $f: DeliveryFilter) {{ send(id: $id) {{
  deliveries(filter: $f) {{ nodes {{ id }} }}
  notifications(hidden: true, first: 100) {{ nodes {{ deliveries {{ {ROW} }} }} }} }} }}"""
RECALL = "mutation ($id: ID!) { recallSend(id: $id) { id } }"


async def pages(tenant: Tenant, first: int = 3, **filter: Any) -> tuple[list[Json], int | None]:
    """Return the deliveries of all pages, and `totalCount`."""
    found: list[Json] = []
    after = None
    while True:
        fields = {"includeDecided": True, **filter}
        page = (await tenant.execute(PAGE, f=fields, n=first, a=after))["deliveries"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found, page["totalCount"]
        after = page["pageInfo"]["endCursor"]


async def send_everything(tenant: Tenant) -> dict[str, str]:
    """Send in every way of not arriving. Return the category of each send, by id."""
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "email": f"{user}@people.example"} for user in ("al", "bo")])
    await store_template(tenant, "order", body="{{ user.attributes.plan }}")
    await tenant.define_category("quiet", "IN_APP", "EMAIL")
    await tenant.define_category("no-email", "IN_APP", "EMAIL")
    disabled = {"category": "no-email", "channel": "EMAIL", "enabled": False}
    await update_preferences(tenant, "al", categories=[{"category": "quiet", "mutedUntil": FAR_FUTURE}, disabled])
    everywhere = ["IN_APP", "EMAIL", "WEB_PUSH"]
    sent = [await tenant.send("al", "bo", channels=everywhere) for _ in range(3)]
    sent += [await tenant.send("al", category=key) for key in ("quiet", "no-email")]
    sent.append(await tenant.send("al", channels=["WEB_PUSH"]))
    sent.append(await tenant.send("al", collapseKey="one", channels=["IN_APP"]))
    sent.append(await tenant.send("al", collapseKey="one", channels=["IN_APP"]))
    sent.append(await send_template(tenant, "al", channels=["IN_APP", "WEB_PUSH"]))
    recalled = await tenant.send("al")
    await tenant.execute(RECALL, id=recalled["send"]["id"])
    await wait_for_deliveries(tenant, "SENT", 6)
    return {one["send"]["id"]: "news" for one in (*sent, recalled)} | {
        sent[3]["send"]["id"]: "quiet",
        sent[4]["send"]["id"]: "no-email",
    }


async def test_pages_contain_what_left_and_what_was_decided_against_newest_first(acme: Tenant) -> None:
    categories = await send_everything(acme)
    of_sends: dict[str, list[Json]] = {}
    for id in categories:
        notifications = (await acme.execute(OF_SEND, id=id))["send"]["notifications"]["nodes"]
        of_sends[id] = [delivery for n in notifications for delivery in n["deliveries"]]
    every = sorted((row for rows in of_sends.values() for row in rows), key=lambda row: row["id"], reverse=True)
    of_al = [row for row in every if row["userId"] == "al"]
    assert {(row["channel"], row["status"], row["reason"]) for row in of_al} >= {
        ("IN_APP", "DELIVERED", None),
        ("IN_APP", "CANCELLED", "REPLACED"),
        ("IN_APP", "CANCELLED", "RECALLED"),
        ("EMAIL", "SENT", None),
        ("EMAIL", "SKIPPED", "PREFERENCE"),
        ("EMAIL", "SKIPPED", "MUTED"),
        ("WEB_PUSH", "SKIPPED", "NO_ADDRESS"),
    }
    assert any(row["reason"] == "TEMPLATE_ERROR" for row in of_al)
    middle = of_al[len(of_al) // 2]
    for filter, expected in (
        ({}, of_al),
        ({"statuses": ["SKIPPED"]}, [row for row in of_al if row["status"] == "SKIPPED"]),
        ({"statuses": ["SENT", "CANCELLED"]}, [row for row in of_al if row["status"] in {"SENT", "CANCELLED"}]),
        ({"channels": ["IN_APP"]}, [row for row in of_al if row["channel"] == "IN_APP"]),
        ({"reasons": ["MUTED", "REPLACED"]}, [row for row in of_al if row["reason"] in {"MUTED", "REPLACED"}]),
        ({"channels": ["EMAIL"], "reasons": ["NO_ADDRESS"]}, []),
        ({"category": "quiet"}, [row for row in of_al if categories[row["sendId"]] == "quiet"]),
        ({"sendId": middle["sendId"]}, [row for row in of_al if row["sendId"] == middle["sendId"]]),
        ({"since": middle["createdAt"]}, [row for row in of_al if row["createdAt"] >= middle["createdAt"]]),
        ({"until": middle["createdAt"]}, [row for row in of_al if row["createdAt"] < middle["createdAt"]]),
        ({"providers": ["smtp"]}, [row for row in of_al if row["channel"] == "EMAIL" and row["status"] == "SENT"]),
        ({"providers": ["template"]}, [row for row in of_al if row["reason"] == "TEMPLATE_ERROR"]),
        ({"failedSince": "2020-01-01T00:00:00Z"}, [row for row in of_al if row["status"] == "FAILED"]),
        ({"failedUntil": "2020-01-01T00:00:00Z"}, []),
    ):
        assert await pages(acme, userId="al", **filter) == (expected, len(expected)), filter
    first = next(iter(categories))
    of_first = [row for row in every if row["sendId"] == first]
    assert {row["userId"] for row in of_first} == {"al", "bo"}
    assert await pages(acme, 1, sendId=first) == (of_first, len(of_first))
    found = (await acme.execute(OF_SEND, id=first, f={"includeDecided": True}))["send"]["deliveries"]["nodes"]
    assert found == [{"id": row["id"]} for row in of_first]


async def test_a_user_or_a_send_of_the_own_tenant_is_required(running: Running, acme: Tenant) -> None:
    send = (await acme.send("al", channels=["IN_APP", "WEB_PUSH"]))["send"]["id"]
    async with Tenant(f"t{uuid4().hex[:12]}", running.deployment.urls) as other:
        assert await pages(other, sendId=send) == ([], 0)
        assert await pages(other, userId="al") == ([], 0)
    for call in (
        pages(acme, statuses=["SKIPPED"]),
        acme.execute(
            "mutation ($f: DeliveryFilter) { replay(filter: $f) }", f={"userId": "al", "includeDecided": True}
        ),
    ):
        with pytest.raises(GraphQLErrors, match="includeDecided") as error:
            await call
        assert (error.value.code, error.value.errors[0]["extensions"]["field"]) == (
            *("BAD_USER_INPUT", "filter.includeDecided"),
        )


async def test_a_rare_delivery_is_found_behind_many_notifications(running: Running, acme: Tenant) -> None:
    """A page examines a limited number of notifications, and its cursor continues behind them."""
    start = now() - timedelta(days=30)
    fields = {
        "send": str(uuid4()),
        "category": "news",
        "title": "",
        "body": "",
        "priority": "MEDIUM",
        "because": "NAMED",
    }
    common = {"mailbox": f"{acme.name}/al", "created_at": now(), "updated_at": now(), "hidden": True, **fields}
    ids = [first_id_at(start + timedelta(seconds=number)) for number in range(EXAMINED_MAX + 10)]
    rows = [{"_id": id, "skipped": {"EMAIL": "PREFERENCE"}, **common} for id in ids]
    rows[1]["skipped"] = {"EMAIL": "MUTED"}
    await running.database["notifications"].insert_many(rows)
    every = {"includeDecided": True, "userId": "al"}
    page = (await acme.execute(PAGE, f={**every, "reasons": ["MUTED"]}, n=5))["deliveries"]
    assert (page["nodes"], page["pageInfo"]["hasNextPage"]) == ([], True)
    found, count = await pages(acme, userId="al", reasons=["MUTED"])
    assert ([row["id"] for row in found], count) == ([f"{ids[1]}-email"], 1)
    page = (await acme.execute(PAGE, f=every, n=5))["deliveries"]
    assert [row["notificationId"] for row in page["nodes"]] == ids[:-6:-1]
    assert page["totalCount"] is None


async def test_every_query_uses_an_index_and_sorts_no_documents(
    running: Running, acme: Tenant, servers: tuple[Mongod, Redis]
) -> None:
    send = (await acme.send("al", channels=["IN_APP", "EMAIL"]))["send"]["id"]
    commands = Commands()
    async with AsyncMongoClient[Json](servers[0].url, tz_aware=True, event_listeners=[commands]) as client:
        database = client[running.database.name]
        digests, notifications = Digests(database["deliveries"], hub_now), Notifications(database)
        receipts = ReceiptBuilder(Tenants(database, 100, 5), ActivityCounts(database, hub_now))
        ends = DeliveryEnds(database["deliveries"], hub_now, receipts, digests)
        deliveries = DecidedDeliveries(Deliveries(database, hub_now, ends, digests), notifications)
        mailbox = f"{acme.name}/al"
        for query in (
            DeliveryQuery(mailbox=mailbox),
            DeliveryQuery(mailbox=mailbox, send=send, since=now() - timedelta(days=1), until=now()),
            DeliveryQuery(send=send, channels=(Channel.EMAIL,), statuses=(DeliveryStatus.SKIPPED,)),
        ):
            for after in (None, first_id_at(now() + timedelta(days=1))):
                await deliveries.page(acme.name, query, 20, after)
            await deliveries.count(acme.name, query)
        assert len(commands.sent) > 12
        for command in commands.sent:
            stages = await explain_stages(database, command)
            assert "IXSCAN" in stages, command
            assert "COLLSCAN" not in stages, command
            assert "SORT" not in stages or "FETCH" not in stages, (command, "only keys of an index are sorted")
