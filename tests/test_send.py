"""Sends: recipients, idempotency, counts, lists, limits, and the users that they create."""

import asyncio
import json
import re
from typing import Any
from uuid import uuid4

import pytest

from hub.inbox.batch_transaction import STATEMENTS_PER_COMMAND
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import GraphQLErrors, Json, Tenant
from tests.processes import Deployment
from tests.telemetry import metric_value, scrape_metrics

COUNTED = "query ($id: ID!) { send(id: $id) { recipients counts { status count } } }"


async def test_send_to_unknown_users_creates_them_and_their_inboxes(tenant: Tenant) -> None:
    sent = await tenant.send("alice", "bob", "alice", title="Hi", data={"a": [1, None]}, tags=["x"], priority="HIGH")
    assert sent["send"]["recipients"] == 2
    for user in ("alice", "bob"):
        data = await tenant.execute(
            "{ inbox { unread unseen nodes { title body data tags priority because userId } } }", user=user
        )
        [node] = data["inbox"]["nodes"]
        assert (data["inbox"]["unread"], data["inbox"]["unseen"]) == (1, 1)
        assert node["data"] == {"a": [1, None]}
        assert (node["title"], node["tags"], node["priority"], node["userId"]) == ("Hi", ["x"], "HIGH", user)
    assert (await tenant.execute('{ user(id: "bob") { id locale } }'))["user"] == {"id": "bob", "locale": "en"}


async def test_send_same_key_and_input_is_a_duplicate_and_other_input_a_conflict(tenant: Tenant) -> None:
    first = await tenant.send("alice", idempotencyKey="k")
    again = await tenant.send("alice", idempotencyKey="k")
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert first["send"] == again["send"]
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.send("alice", title="Other", idempotencyKey="k")
    assert refused.value.code == "CONFLICT"
    assert (await tenant.inbox("alice"))["unread"] == 1


async def test_200_concurrent_sends_with_one_key_make_one_notification(tenant: Tenant) -> None:
    responses = await asyncio.gather(*(tenant.send("alice", idempotencyKey="k") for _ in range(200)))
    assert len({response["send"]["id"] for response in responses}) == 1
    assert sum(not response["duplicate"] for response in responses) == 1
    assert (await tenant.inbox("alice"))["unread"] == 1


MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate send { id recipients } } }"
UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id email phone locale timezone attributes createdAt updatedAt } }"
REASONS = """query ($id: ID!) { send(id: $id) {
  counts { channel status count reasons { reason count } }
  notifications { nodes { id } }
  all: notifications(hidden: true) { nodes { userId deliveries { channel status reason } } }
  deliveries { nodes { channel status reason } }
} }"""
COUNTS = "query ($id: ID!) { send(id: $id) { recipients status counts { channel status count } } }"


def send_input(*users: str, title: str = "Hello", **more: Any) -> Json:
    return {"to": {"users": list(users)}, "category": "news", "content": {"title": title, "body": "there"}, **more}


async def test_send_by_id_equals_the_send_response(tenant: Tenant) -> None:
    fields = "id category status createdAt recipients"
    query = f"mutation ($input: SendInput!) {{ send(input: $input) {{ send {{ {fields} }} }} }}"
    sent = (await tenant.execute(query, input=send_input("alice", "bob")))["send"]["send"]
    assert (sent["category"], sent["status"], sent["recipients"]) == ("news", "ACCEPTED", 2)
    assert (await tenant.execute(f'{{ send(id: "{sent["id"]}") {{ {fields} }} }}'))["send"] == sent


async def test_send_counts_follow_the_recipients(tenant: Tenant) -> None:
    id = (await tenant.send("a", "b", "c", channels=["IN_APP", "EMAIL"]))["send"]["id"]

    async def counts() -> dict[tuple[str, str], int]:
        found = (await tenant.execute(COUNTS, id=id))["send"]["counts"]
        return {(row["channel"], row["status"]): row["count"] for row in found}

    skipped = {("EMAIL", "SKIPPED"): 3}
    assert await counts() == {("IN_APP", "DELIVERED"): 3} | skipped
    await tenant.mark_all("a", "markAllRead")
    assert await counts() == {("IN_APP", "DELIVERED"): 2, ("IN_APP", "READ"): 1} | skipped
    [n] = (await tenant.inbox("a"))["nodes"]
    await tenant.mark("a", "markUnread", n["id"])
    assert await counts() == {("IN_APP", "DELIVERED"): 3} | skipped


async def test_send_notifications_page_through_all_recipients(tenant: Tenant) -> None:
    users = [f"u{number:02}" for number in range(25)]
    id = (await tenant.send(*users))["send"]["id"]
    query = "query ($id: ID!, $a: String) { send(id: $id) { notifications(first: 10, after: $a) { nodes { userId } edges { cursor node { userId } } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"
    found, after = [], None
    for number in range(3):
        page = (await tenant.execute(query, id=id, a=after))["send"]["notifications"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert page["pageInfo"]["hasPreviousPage"] == (number > 0)
        assert page["pageInfo"]["hasNextPage"] == (number < 2)
        after = page["pageInfo"]["endCursor"]
        found += [node["userId"] for node in page["nodes"]]
    assert found == users


async def test_sends_are_listed_newest_first_by_category_and_time(tenant: Tenant) -> None:
    async def one(category: str) -> tuple[str, str]:
        query = "mutation ($input: SendInput!) { send(input: $input) { send { id createdAt } } }"
        sent = (await tenant.execute(query, input=send_input("alice") | {"category": category}))["send"]["send"]
        await asyncio.sleep(0.002)  # each in its own millisecond
        return sent["id"], sent["createdAt"]

    sent = [await one(category) for category in ("a", "b", "a", "b", "a")]
    ids = [id for id, _ in sent]

    async def listed(**arguments: Any) -> list[str]:
        query = "query ($category: String, $since: DateTime, $until: DateTime, $first: Int, $after: String) { sends(category: $category, since: $since, until: $until, first: $first, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }"
        return [node["id"] for node in (await tenant.execute(query, **arguments))["sends"]["nodes"]]

    assert await listed() == ids[::-1]
    assert await listed(category="a") == [ids[4], ids[2], ids[0]]
    assert await listed(category="none") == []
    assert await listed(first=2) == [ids[4], ids[3]]
    assert await listed(first=2, after=ids[3]) == [ids[2], ids[1]]
    assert await listed(category="a", first=1, after=ids[4]) == [ids[2]]
    assert await listed(since=sent[3][1]) == [ids[4], ids[3]]
    assert await listed(until=sent[1][1]) == [ids[0]]
    assert await listed(since=sent[1][1], until=sent[3][1], category="a") == [ids[2]]
    assert await listed(since=sent[1][1], after=ids[2]) == [ids[1]]
    assert await listed(until=sent[1][1], after=ids[4]) == [ids[0]]
    assert await listed(since=sent[3][1], until=sent[1][1]) == []
    assert await listed(since="1970-01-01T00:00:00Z", until="9999-12-31T23:59:59Z") == ids[::-1]
    assert await listed(since="0001-01-01T00:00:00Z", until="1969-01-01T00:00:00Z") == []


async def test_send_many_responds_in_order_and_reports_failures(tenant: Tenant) -> None:
    inputs = [
        send_input("alice", title="0"),
        send_input("alice", title=" "),
        send_input("bob", title="2"),
        send_input("alice", title="3", expiresAt="2001-01-01T00:00:00Z"),
        send_input("alice", title="x" * 257),
        send_input("alice", "bob", title="5", idempotencyKey="five"),
    ]
    response = await tenant.execute_raw(MANY, inputs=inputs)
    rows = response["data"]["sendMany"]
    assert [row and row["send"]["recipients"] for row in rows] == [1, None, 1, None, None, 2]
    received = {error["path"][-1]: error["extensions"] for error in response["errors"]}
    assert [error["path"][0] for error in response["errors"]] == ["sendMany"] * 3
    assert received == {
        1: {"code": "BAD_USER_INPUT", "field": "inputs.1.content.title"},
        3: {"code": "BAD_USER_INPUT", "field": "inputs.3.expiresAt"},
        4: {"code": "TOO_LARGE", "field": "inputs.4.content.title"},
    }
    assert {n["title"] for n in (await tenant.inbox("alice"))["nodes"]} == {"0", "5"}
    assert {n["title"] for n in (await tenant.inbox("bob"))["nodes"]} == {"2", "5"}


async def test_send_many_with_a_repeated_key_sends_once_and_reports_conflicts(tenant: Tenant) -> None:
    inputs = [
        send_input("a", idempotencyKey="k"),
        send_input("a", idempotencyKey="k"),
        send_input("a", title="x", idempotencyKey="k"),
    ]
    response = await tenant.execute_raw(MANY, inputs=inputs)
    rows = response["data"]["sendMany"]
    assert [row and row["duplicate"] for row in rows] == [False, True, None]
    assert rows[0]["send"] == rows[1]["send"]
    assert [(error["path"][-1], error["extensions"]["code"]) for error in response["errors"]] == [(2, "CONFLICT")]
    assert (await tenant.inbox("a"))["unread"] == 1


async def test_send_many_of_a_thousand_keeps_order_within_an_inbox(tenant: Tenant) -> None:
    assert await tenant.execute(MANY, inputs=[]) == {"sendMany": []}
    rows = (await tenant.execute(MANY, inputs=[send_input("alice", title=str(n)) for n in range(1000)]))["sendMany"]
    assert len({row["send"]["id"] for row in rows}) == 1000
    page = await tenant.inbox("alice", first=100)
    assert page["unread"] == 1000
    assert [n["title"] for n in page["nodes"]] == [str(n) for n in range(999, 899, -1)]


async def test_idempotency_header_replays_and_conflicts_for_every_mutation(tenant: Tenant) -> None:
    header = {"Idempotency-Key": "once"}
    send = "mutation ($input: SendInput!) { send(input: $input) { duplicate send { id } } }"
    for query, name, first, other in (
        (send, "input", send_input("alice"), send_input("alice", title="Other")),
        (
            MANY,
            "inputs",
            [send_input("bob"), send_input("carol")],
            [send_input("bob", title="Other"), send_input("carol")],
        ),
        (UPSERT, "users", [{"id": "dave", "email": "d@a.example"}], [{"id": "dave", "email": "other@a.example"}]),
    ):
        header = {"Idempotency-Key": f"once {name}"}
        before = await tenant.execute_raw(query, headers=header, **Json({name: first}))
        again = await tenant.execute_raw(query, headers=header, **Json({name: first}))
        assert "errors" not in before
        assert json.loads(json.dumps(before).replace('"duplicate": false', '"duplicate": true')) == again or (
            before == again
        )
        refused = await tenant.execute_raw(query, headers=header, **Json({name: other}))
        assert {error["extensions"]["code"] for error in refused["errors"]} == {"CONFLICT"}
    for user in ("alice", "bob", "carol"):
        assert (await tenant.inbox(user))["unread"] == 1
    assert (await tenant.execute('{ user(id: "dave") { email } }'))["user"] == {"email": "d@a.example"}


async def test_idempotency_header_of_a_mutation_that_failed_may_be_used_again(tenant: Tenant) -> None:
    header = {"Idempotency-Key": "k"}
    assert "errors" in await tenant.execute_raw(UPSERT, headers=header, users=[{"id": "a", "timezone": "Mars/Base"}])
    assert "errors" not in await tenant.execute_raw(
        UPSERT, headers=header, users=[{"id": "a", "timezone": "Asia/Tokyo"}]
    )


async def test_concurrent_requests_with_one_idempotency_key_run_once(tenant: Tenant) -> None:
    header = {"Idempotency-Key": "k"}
    users = [{"id": "a", "attributes": {"n": 1}}]
    responses = await asyncio.gather(*(tenant.execute_raw(UPSERT, headers=header, users=users) for _ in range(20)))
    done = [response["data"] for response in responses if "errors" not in response]
    assert done
    assert all(response == done[0] for response in done)
    assert {error["extensions"]["code"] for response in responses for error in response.get("errors", [])} <= {
        "UNAVAILABLE"
    }


async def test_channels_that_are_not_configured_are_skipped_with_the_reason(tenant: Tenant) -> None:
    channels = ["IN_APP", "EMAIL", "WEB_PUSH", "MOBILE_PUSH", "SMS", "WHATSAPP", "WEBHOOK", "SLACK", "DISCORD", "TEAMS"]
    await tenant.send("alice", channels=[*channels, "EMAIL"])
    query = "{ inbox { nodes { deliveries { id channel status reason attempts { at } } } } }"
    [n] = (await tenant.execute(query, user="alice"))["inbox"]["nodes"]
    assert [row["channel"] for row in n["deliveries"]] == channels
    assert (n["deliveries"][0]["status"], n["deliveries"][0]["reason"]) == ("DELIVERED", None)
    assert {row["status"] for row in n["deliveries"][1:]} == {"SKIPPED"}
    reasons = {row["channel"]: row["reason"] for row in n["deliveries"][1:]}
    assert {reasons.pop(channel) for channel in ("WEBHOOK", "SLACK", "DISCORD", "TEAMS")} == {"NO_ADDRESS"}
    assert set(reasons.values()) == {"NOT_CONFIGURED"}
    assert len({row["id"] for row in n["deliveries"]}) == 10


async def test_skipped_send_reports_the_reasons(tenant: Tenant) -> None:
    people = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
    await tenant.execute(people, users=[{"id": "alice", "email": "a@example.org"}])
    await tenant.define_category("news", "IN_APP", "EMAIL", "WEBHOOK")
    mute = 'mutation { updatePreferences(input: {categories: [{category: "news", mutedUntil: "2090-01-01T00:00:00Z"}]}) { channels { channel } } }'
    await tenant.execute(mute, user="alice")
    sent = await tenant.send("alice", "bob")
    found = (await tenant.execute(REASONS, id=sent["send"]["id"]))["send"]
    assert {(row["channel"], row["status"], row["count"]): row["reasons"] for row in found["counts"]} == {
        ("IN_APP", "DELIVERED", 1): [],
        ("IN_APP", "SKIPPED", 1): [{"reason": "MUTED", "count": 1}],
        ("EMAIL", "SKIPPED", 2): [{"reason": "MUTED", "count": 1}, {"reason": "NOT_CONFIGURED", "count": 1}],
        ("WEBHOOK", "SKIPPED", 2): [{"reason": "MUTED", "count": 1}, {"reason": "NO_ADDRESS", "count": 1}],
    }
    assert {n["userId"]: [row["reason"] for row in n["deliveries"]] for n in found["all"]["nodes"]} == {
        "alice": ["MUTED", "MUTED", "MUTED"],
        "bob": [None, "NOT_CONFIGURED", "NO_ADDRESS"],
    }
    query = "{ inbox { nodes { deliveries { id channel reason } } } }"
    [n] = (await tenant.execute(query, user="bob"))["inbox"]["nodes"]
    one = "query ($id: ID!) { delivery(id: $id) { id channel reason } }"
    async with Tenant(f"{tenant.name}-2", tenant.urls) as other:
        for row in n["deliveries"]:
            assert (await tenant.execute(one, id=row["id"]))["delivery"] == row
            assert (await other.execute(one, id=row["id"]))["delivery"] is None
    assert (await tenant.execute(one, id="x"))["delivery"] is None


async def test_send_without_in_app_is_hidden_and_counted(tenant: Tenant) -> None:
    position = (await tenant.inbox("alice"))["position"]
    async with tenant.feed("alice", position) as feed:
        id = (await tenant.send("alice", title="Your code is 1234", channels=["SMS"]))["send"]["id"]
        await tenant.send("alice", title="Next")
        [event] = await feed.take(1)
    assert (event["notification"]["title"], event["unread"], event["unseen"]) == ("Next", 1, 1)
    for view in ("ACTIVE", "ALL"):
        assert [n["title"] for n in (await tenant.inbox("alice", view=view))["nodes"]] == ["Next"]
    assert (await tenant.inbox("alice", search="code"))["nodes"] == []
    send = (await tenant.execute(COUNTS, id=id))["send"]
    assert send["recipients"] == 1
    assert send["counts"] == [{"channel": "SMS", "status": "SKIPPED", "count": 1}]
    reason = (await tenant.execute(REASONS, id=id))["send"]
    assert (reason["notifications"]["nodes"], reason["deliveries"]["nodes"]) == ([], [])
    skipped = {"channel": "SMS", "status": "SKIPPED", "reason": "NOT_CONFIGURED"}
    assert reason["all"]["nodes"] == [{"userId": "alice", "deliveries": [skipped]}]
    for field in ("markAllSeen", "markAllRead", "archiveAll"):
        assert (await tenant.mark_all("alice", field))["changed"] == 1
    await tenant.send("bob", channels=["EMAIL"])  # a new user
    page = await tenant.inbox("bob", view="ALL")
    assert (page["nodes"], page["unread"], page["unseen"]) == ([], 0, 0)


async def test_upsert_users_absent_field_is_unchanged_and_null_clears(tenant: Tenant) -> None:
    async def upsert(**fields: Any) -> Json:
        [user] = (await tenant.execute(UPSERT, users=[{"id": "alice", **fields}]))["upsertUsers"]
        assert (await tenant.execute('{ user(id: "alice") { id email phone locale timezone attributes createdAt updatedAt } }'))["user"] == user  # fmt: skip
        return {name: user[name] for name in ("email", "phone", "locale", "timezone", "attributes")}

    bare = {"email": None, "phone": None, "locale": "en", "timezone": "UTC", "attributes": None}
    full = {
        "email": "a@b.example",
        "phone": "+4915112345678",
        "locale": "pt-BR",
        "timezone": "Europe/Berlin",
        "attributes": {"plan": "pro", "set": {"ab": [1]}},
    }
    assert await upsert() == bare
    assert await upsert(**full) == full
    assert await upsert() == full
    assert await upsert(email="c@d.example") == full | {"email": "c@d.example"}
    for name, value in bare.items():
        full |= {"email": "c@d.example"} if name == "attributes" else {}
        await upsert(**{name: None})
        user = (await tenant.execute(f'{{ user(id: "alice") {{ {name} }} }}'))["user"]
        assert user == {name: value}
    assert await upsert() == bare


async def test_upsert_users_responds_in_order_and_the_last_one_wins(tenant: Tenant) -> None:
    users = [{"id": id, "email": email} for id, email in (("b", "1@x.example"), ("a", None), ("b", "2@x.example"))]
    acknowledged = (await tenant.execute(UPSERT, users=users))["upsertUsers"]
    assert [(user["id"], user["email"]) for user in acknowledged] == [
        ("b", "2@x.example"),
        ("a", None),
        ("b", "2@x.example"),
    ]
    assert (await tenant.execute(UPSERT, users=[]))["upsertUsers"] == []


async def test_upsert_users_with_one_invalid_user_changes_none(tenant: Tenant) -> None:
    for bad in (
        {"email": "nobody"},
        {"email": "a b@c"},
        {"timezone": "Mars/Base"},
        {"locale": "english please"},
        {"phone": "x" * 321},
    ):
        [name] = bad
        response = await tenant.execute_raw(
            UPSERT, users=[{"id": "good", "email": "g@x.example"}, {"id": "bad", **bad}]
        )
        assert response["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": f"users.1.{name}"}
    assert (await tenant.execute('{ user(id: "good") { id } }'))["user"] is None


async def test_send_does_not_change_an_existing_profile(tenant: Tenant) -> None:
    await tenant.execute(UPSERT, users=[{"id": "alice", "email": "a@b.example", "locale": "de"}])
    await tenant.send("alice")
    user = (await tenant.execute('{ user(id: "alice") { email locale inbox { unread } } }'))["user"]
    assert user == {"email": "a@b.example", "locale": "de", "inbox": {"unread": 1}}


async def test_external_deliveries_count_toward_the_transaction_size(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    maximum = {"commit_max_documents": "12", "commit_max_bytes": "200000", "commit_deadline_s": "60"}
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **maximum) as running:
        async with Tenant(f"t{uuid4().hex[:12]}", running.urls) as tenant:
            query = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
            for number in range(5):
                events = ["notification.created"] if number % 2 else None
                await tenant.execute_as_admin(query, input={"url": f"https://hooks.example/{number}", "events": events})
            await tenant.send("alice")  # from here on the process has measured the size
            url = running.urls[0].removesuffix("/graphql") + "/metrics"
            before = await scrape_metrics(url)
            await asyncio.gather(*(tenant.send(f"user-{number}") for number in range(40)))
            after = await scrape_metrics(url)
            works, transactions = (
                metric_value(after, f"hub_commit_batch_size_{what}")
                - metric_value(before, f"hub_commit_batch_size_{what}")
                for what in ("sum", "count")
            )
            assert works == 40
            assert works / transactions <= 2, "a notification and five calls each, at most twelve together"
            crowd = [f"user-{number}" for number in range(100)]
            with pytest.raises(GraphQLErrors, match=r"HUB_COMMIT_MAX_BYTES.* at most \d+ users") as refused:
                await tenant.send(*crowd)
            assert refused.value.errors[0]["extensions"] == {"code": "TOO_LARGE", "field": "input.to.users"}
            assert await tenant.execute('{ user(id: "user-99") { id } }') == {"user": None}
            assert 10 < (fewer := int(re.findall(r"at most (\d+) users", str(refused.value))[0])) < 50
            assert (await tenant.send(*crowd[:fewer]))["send"]["recipients"] == fewer
            assert (await tenant.inbox("user-39"))["unread"] == 1, "no user has a notification of the rejected send"


async def test_send_larger_than_one_write_command_reaches_every_user(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    users = [f"user-{number}" for number in range(STATEMENTS_PER_COMMAND + 100)]
    maximum = {"call_max_users": str(len(users))}
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0, **maximum) as running,
        Tenant(f"large-{uuid4().hex[:8]}", running.urls) as tenant,
    ):
        for times in (1, 2):  # first their mailboxes are created, then they are updated
            sent = await tenant.send(*users)
            found = (await tenant.execute(COUNTED, id=sent["send"]["id"]))["send"]
            assert found == {"recipients": len(users), "counts": [{"status": "DELIVERED", "count": len(users)}]}
            for user in (users[0], users[STATEMENTS_PER_COMMAND - 1], users[STATEMENTS_PER_COMMAND], users[-1]):
                inbox = await tenant.inbox(user)
                assert (inbox["unread"], len(inbox["nodes"])) == (times, times)
