"""Sends to everyone, which workers expand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.broadcasts import (
    UPSERTED_AT_ONCE,
    broadcast,
    count_recipients,
    create_users,
    expanded,
    get_send,
)
from tests.channel_setup import FakeChannels, deployment_with_channels, wait_until_settled
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.conftest import scaled
from tests.inbox_watchers import retry_until_answered
from tests.processes import Deployment
from tests.template_sends import store_template
from tests.test_schedules import after

USERS = [f"user-{number:04}" for number in range(scaled(450, 5000))]
DELETE_USER = "mutation ($id: ID!) { deleteUser(id: $id) }"
CANCEL = "mutation ($id: ID!) { m: cancelSend(id: $id) { status recipients } }"
RECALL = "mutation ($id: ID!) { m: recallSend(id: $id) { status recipients } }"
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
SIMULATE = "query ($i: SendInput!) { simulate(input: $i, first: 2) { userId decisions { channel outcome } } }"
SUBSCRIBE = "mutation ($topic: String!, $users: [ID!]!) { subscribeToTopic(topic: $topic, users: $users) }"
UNSUBSCRIBE = "mutation ($topic: String!, $users: [ID!]!) { unsubscribeFromTopic(topic: $topic, users: $users) }"
PAUSE = "mutation ($id: ID!) { m: pauseSend(id: $id) { status recipients } }"
RESUME = "mutation ($id: ID!) { m: resumeSend(id: $id) { status } }"
RESOLVE = "mutation ($key: String!, $users: [ID!]) { resolve(collapseKey: $key, users: $users) }"
USER = "query ($id: ID!) { user(id: $id) { id } }"
EVERYONE = {"to": {"everyone": True}, "category": "news", "content": {"title": "Hello", "body": ""}}

Running = tuple[Deployment, Tenant, FakeChannels]


@pytest.fixture(scope="module")
async def waiting(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    """A deployment whose worker does not run, so sends stay EXPANDING."""
    async with deployment_with_channels(servers[0].url, servers[1].url, workers=1, commit_deadline_s="2") as running:
        running[0].workers[0].kill()
        yield running


@pytest.fixture
async def idle(waiting: Running) -> AsyncIterator[tuple[Deployment, Tenant]]:
    """A new tenant of the deployment whose worker does not run. At the end, the worker is killed again."""
    deployment = waiting[0]
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
        yield deployment, tenant
    deployment.workers[0].kill()


@pytest.mark.usefixtures("no_internal_errors")
async def test_send_to_everyone_reaches_each_user_of_the_tenant_once(tenant: Tenant, deployment: Deployment) -> None:
    async with Tenant(f"{tenant.name}0", deployment.urls) as other:
        await create_users(tenant, USERS)
        await create_users(other, ["outsider"])
        send = await broadcast(tenant, without=["user-0007", "stranger"])
        assert (send["status"], send["total"]) == ("EXPANDING", len(USERS))
        assert send["to"] == {"users": None, "everyone": True, "except": ["user-0007", "stranger"]}
        ended = await expanded(tenant, send["id"])
        assert (ended["status"], ended["recipients"], ended["total"]) == ("ACCEPTED", len(USERS) - 1, len(USERS) - 1)
        assert await count_recipients(tenant, send["id"]) == Counter(set(USERS) - {"user-0007"})
        delivered = {"channel": "IN_APP", "status": "DELIVERED", "count": len(USERS) - 1, "reasons": []}

        async def counted() -> bool:  # readers share the counts of a large send for a few seconds
            return bool((await expanded(tenant, send["id"]))["counts"] == [delivered])

        await eventually(counted, 60)
        page = await tenant.execute("{ inbox { unread nodes { because becauseKind becauseOf } } }", user=USERS[-1])
        assert page["inbox"]["unread"] == 1
        [node] = page["inbox"]["nodes"]
        assert (node["becauseKind"], node["becauseOf"]) == ("EVERYONE", None)
        for user, client in (("user-0007", tenant), ("outsider", other)):
            assert (await client.inbox(user))["unread"] == 0
        assert (await tenant.execute(USER, id="stranger"))["user"] is None


async def test_send_to_everyone_with_a_template_renders_the_recorded_version_for_each_user(tenant: Tenant) -> None:
    await tenant.execute(
        "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }",
        u=[{"id": "ann", "name": "Ann"}, {"id": "bob", "name": "Bob"}],
    )
    await store_template(tenant, "welcome", title="Hi {{ user.name }}", body="{{ n }}")
    send = await broadcast(tenant, content=None, template={"key": "welcome", "data": {"n": 3}})
    await store_template(tenant, "welcome", title="Changed", body="")
    await expanded(tenant, send["id"])
    for user, title in (("ann", "Hi Ann"), ("bob", "Hi Bob")):
        [node] = (await tenant.inbox(user))["nodes"]
        assert (node["title"], node["body"]) == (title, "3")


async def test_deliveries_of_a_send_to_everyone_are_sent_once(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    patient: dict[str, Any] = {"provider_timeout_s": "15", "lease_margin_s": "30", "lane_max_ids": "10"}
    async with deployment_with_channels(mongod.url, redis.url, workers=2, **patient) as (_, tenant, fakes):
        users = USERS[:60]
        await fakes.add_addresses(tenant, *users, channels=["EMAIL"])
        await tenant.define_category("news", "IN_APP", "EMAIL")
        send = await broadcast(tenant)
        assert (await expanded(tenant, send["id"]))["recipients"] == len(users)
        deliveries = await wait_until_settled(tenant, len(users), within_s=60)
        assert {delivery["status"] for delivery in deliveries} == {"SENT"}
        assert len(fakes.arrivals()) == len(users)


async def test_send_to_a_topic_reaches_its_subscribers_at_that_time(tenant: Tenant) -> None:
    await create_users(tenant, ["stranger"])
    for start in range(0, len(USERS), UPSERTED_AT_ONCE):
        await tenant.execute(SUBSCRIBE, topic="releases", users=USERS[start : start + UPSERTED_AT_ONCE])
    await tenant.execute(UNSUBSCRIBE, topic="releases", users=USERS[:3])
    send = await broadcast(tenant, to={"topic": "releases"}, without=[USERS[5]])
    assert send["total"] == len(USERS) - 3
    assert (await expanded(tenant, send["id"]))["recipients"] == len(USERS) - 4
    assert await count_recipients(tenant, send["id"]) == Counter(set(USERS[3:]) - {USERS[5]})
    [node] = (await tenant.execute("{ inbox { nodes { becauseKind becauseOf } } }", user=USERS[9]))["inbox"]["nodes"]
    assert node == {"becauseKind": "TOPIC", "becauseOf": "releases"}
    to = (await tenant.execute(f'{{ send(id: "{send["id"]}") {{ to {{ users topic everyone }} }} }}'))["send"]["to"]
    assert to == {"users": None, "topic": "releases", "everyone": None}


async def test_send_to_a_filter_reaches_the_users_who_match(tenant: Tenant) -> None:
    matching = USERS[::3]
    await create_users(tenant, USERS, locale="fr")
    await create_users(tenant, matching, locale="de", attributes={"plan": "pro"})
    where = {"locale": "de", "attributes.plan": {"in": ["pro", "max"]}}
    send = await broadcast(tenant, to={"where": where}, without=[matching[1]], idempotencyKey="k")
    assert send["total"] == len(matching)
    ended = await expanded(tenant, send["id"])
    assert ended["recipients"] == ended["total"] == len(matching) - 1
    assert await count_recipients(tenant, send["id"]) == Counter(set(matching) - {matching[1]})
    [node] = (await tenant.execute("{ inbox { nodes { becauseKind becauseOf } } }", user=matching[0]))["inbox"]["nodes"]
    assert node == {"becauseKind": "FILTER", "becauseOf": None}
    to = (await tenant.execute(f'{{ send(id: "{send["id"]}") {{ to {{ where everyone }} }} }}'))["send"]["to"]
    assert to == {"where": where, "everyone": None}
    reordered = {"attributes.plan": {"in": ["pro", "max"]}, "locale": "de"}
    again = await broadcast(tenant, to={"where": reordered}, without=[matching[1]], idempotencyKey="k")
    assert again["id"] == send["id"]
    simulated = (await tenant.execute(SIMULATE, i={**EVERYONE, "to": {"where": where}}))["simulate"]
    assert [one["userId"] for one in simulated] == matching[:2]


async def test_send_to_a_list_of_ids_ends_although_most_users_do_not_exist(tenant: Tenant) -> None:
    await create_users(tenant, ["zoe"])
    ids = [*(f"unknown-{number}" for number in range(600)), "zoe"]
    send = await broadcast(tenant, to={"where": {"id": {"in": ids}, "attributes.id": {"not": "x"}}})
    to = (await tenant.execute(f'{{ send(id: "{send["id"]}") {{ to {{ where }} }} }}'))["send"]["to"]
    assert to == {"where": {"id": {"in": ["redacted"]}, "attributes.id": {"not": "x"}}}
    assert (await expanded(tenant, send["id"]))["recipients"] == 1
    assert await count_recipients(tenant, send["id"]) == Counter(["zoe"])


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"to": {"everyone": False}}, "BAD_USER_INPUT", "input.to.everyone"),
        ({"to": {"where": {"color": "red"}}}, "BAD_USER_INPUT", "input.to.where.color"),
        ({"to": {"topic": ""}}, "BAD_USER_INPUT", "input.to.topic"),
        ({"to": {"topic": "missing"}}, "NOT_FOUND", "input.to.topic"),
        ({"except": [f"user-{n}" for n in range(101)]}, "BAD_USER_INPUT", "input.except"),
        ({"except": [" "]}, "BAD_USER_INPUT", "input.except"),
        ({"to": {"users": ["ann"]}, "except": ["ann"]}, "BAD_USER_INPUT", "input.except"),
        ({"content": None, "template": {"key": "missing"}}, "NOT_FOUND", "input.template.key"),
    ],
)
async def test_send_to_everyone_with_an_invalid_input_is_rejected(
    tenant: Tenant, fields: Json, code: str, field: str
) -> None:
    with pytest.raises(GraphQLErrors) as rejected:
        await broadcast(tenant, **fields)
    assert rejected.value.code == code
    assert rejected.value.errors[0]["extensions"]["field"] == field


async def test_named_users_without_excluded_ones_get_a_send(tenant: Tenant) -> None:
    send = await broadcast(tenant, to={"users": ["ann", "bob"]}, without=["bob"])
    shown = await get_send(tenant, send["id"])
    assert shown["to"] == {"users": ["ann"], "everyone": None, "except": ["bob"]}
    assert (shown["recipients"], shown["total"]) == (1, 1)
    assert await count_recipients(tenant, send["id"]) == Counter(["ann"])


async def test_repeated_key_returns_the_first_send_and_other_recipients_conflict(tenant: Tenant) -> None:
    await create_users(tenant, ["ann"])
    first = await broadcast(tenant, idempotencyKey="k", without=["x", "y"])
    again = await broadcast(tenant, idempotencyKey="k", without=["y", "x"])
    assert again["id"] == first["id"]
    for changed in ({"except": ["x"]}, {"except": ["x", "y"], "to": {"users": ["ann"]}}):
        with pytest.raises(GraphQLErrors) as rejected:
            await broadcast(tenant, idempotencyKey="k", **changed)
        assert rejected.value.code == "CONFLICT"
    await expanded(tenant, first["id"])
    assert (await tenant.inbox("ann"))["unread"] == 1


async def test_simulate_shows_the_first_users(tenant: Tenant) -> None:
    await create_users(tenant, ["ann", "bob", "carol"])
    simulated = (await tenant.execute(SIMULATE, i={**EVERYONE, "except": ["ann"]}))["simulate"]
    assert [one["userId"] for one in simulated] == ["bob", "carol"]
    assert {"channel": "IN_APP", "outcome": "ACCEPTED"} in simulated[0]["decisions"]


async def test_scheduled_send_to_everyone_reaches_the_users_of_its_time(tenant: Tenant) -> None:
    await create_users(tenant, ["ann", "bob", "carol"])
    send = await broadcast(tenant, sendAt=after(seconds=1.5), without=["carol"])
    assert (send["status"], send["total"]) == ("SCHEDULED", None)
    await create_users(tenant, ["late"])
    await tenant.execute_as_admin(DELETE_USER, id="bob")
    await expanded(tenant, send["id"])
    assert await count_recipients(tenant, send["id"]) == Counter(["ann", "late"])
    assert (await tenant.execute(USER, id="bob"))["user"] is None


async def test_tenant_without_users_gets_no_notification(tenant: Tenant) -> None:
    ended = await expanded(tenant, (await broadcast(tenant))["id"])
    assert (ended["status"], ended["recipients"], ended["total"]) == ("ACCEPTED", 0, 0)


async def test_expansions_of_a_tenant_are_limited(idle: tuple[Deployment, Tenant]) -> None:
    _, tenant = idle
    await create_users(tenant, ["ann"])
    many = await tenant.execute_raw(SEND_MANY, inputs=[EVERYONE] * 11)
    assert many["errors"][0]["extensions"]["code"] == "TOO_LARGE"
    for _ in range(5):
        await tenant.execute(SEND_MANY, inputs=[EVERYONE] * 10)
    with pytest.raises(GraphQLErrors) as rejected:
        await broadcast(tenant)
    assert rejected.value.code == "RATE_LIMITED"
    assert (await tenant.send("ann"))["send"]["status"] == "ACCEPTED"


@pytest.mark.parametrize(("mutation", "status"), [(CANCEL, "CANCELLED"), (RECALL, "RECALLED")])
async def test_send_that_ends_before_its_expansion_reaches_nobody(
    idle: tuple[Deployment, Tenant], mutation: str, status: str
) -> None:
    deployment, tenant = idle
    await create_users(tenant, ["ann"])
    send = await broadcast(tenant)
    assert (await tenant.execute(mutation, id=send["id"]))["m"] == {"status": status, "recipients": 0}
    await deployment.workers[0].start()
    await expanded(tenant, (await broadcast(tenant, "next"))["id"])
    assert [node["title"] for node in (await tenant.inbox("ann"))["nodes"]] == ["next"]
    assert (await get_send(tenant, send["id"]))["total"] == 0


async def begun(tenant: Tenant, id: str) -> None:
    """Wait until the expansion has reached a user."""

    async def reached() -> int:
        return int((await get_send(tenant, id))["recipients"])

    await eventually(reached)


async def test_recall_during_the_expansion_removes_what_exists_and_no_more_follows(tenant: Tenant) -> None:
    await create_users(tenant, USERS)
    send = await broadcast(tenant)
    await begun(tenant, send["id"])
    recalled = (await tenant.execute(RECALL, id=send["id"]))["m"]
    reached = await count_recipients(tenant, send["id"])
    assert recalled == {"status": "RECALLED", "recipients": reached.total()}
    await expanded(tenant, (await broadcast(tenant, "next"))["id"])
    assert await count_recipients(tenant, send["id"]) == reached
    for user in (USERS[0], USERS[-1]):
        assert [node["title"] for node in (await tenant.inbox(user))["nodes"]] == ["next"]


async def test_paused_expansion_reaches_no_other_user_until_it_is_resumed(tenant: Tenant) -> None:
    await create_users(tenant, USERS)
    for number in range(8):  # they take turns, so the next one is not complete soon
        await broadcast(tenant, str(number))
    send = await broadcast(tenant)
    await begun(tenant, send["id"])
    paused = (await tenant.execute(PAUSE, id=send["id"]))["m"]
    reached = await count_recipients(tenant, send["id"])
    assert paused == {"status": "PAUSED", "recipients": reached.total()}
    await expanded(tenant, (await broadcast(tenant, "next"))["id"])
    assert await count_recipients(tenant, send["id"]) == reached
    assert (await tenant.execute(RESUME, id=send["id"]))["m"] == {"status": "EXPANDING"}
    assert (await expanded(tenant, send["id"]))["recipients"] == len(USERS)
    assert await count_recipients(tenant, send["id"]) == Counter(USERS)


async def test_resolved_key_is_skipped_by_the_users_that_were_not_reached(idle: tuple[Deployment, Tenant]) -> None:
    deployment, tenant = idle
    await create_users(tenant, ["ann", "bob"])
    one = await broadcast(tenant, "one", collapseKey="outage")
    other = await broadcast(tenant, "other", collapseKey="other")
    await tenant.execute(RESOLVE, key="outage", users=["bob"])
    await tenant.execute(RESOLVE, key="other")
    resolved = await get_send(tenant, other["id"])
    assert (resolved["status"], resolved["reason"], resolved["recipients"]) == ("CANCELLED", "RESOLVED", 0)
    await deployment.workers[0].start()
    ended = await expanded(tenant, one["id"])
    assert (ended["status"], ended["recipients"]) == ("ACCEPTED", 2)
    assert [node["title"] for node in (await tenant.inbox("ann"))["nodes"]] == ["one"]
    assert (await tenant.inbox("bob"))["nodes"] == []
    assert {"channel": "IN_APP", "status": "SKIPPED", "count": 1, "reasons": [{"reason": "RESOLVED"}]} in ended[
        "counts"
    ]


@pytest.mark.parametrize(
    ("broadcast_ack", "newer_ack", "titles"),
    [(False, False, ["over"]), (False, True, ["over"]), (True, False, ["outage", "over"])],
)
async def test_broadcast_does_not_replace_a_newer_notification_with_its_key(
    idle: tuple[Deployment, Tenant], broadcast_ack: bool, newer_ack: bool, titles: list[str]
) -> None:
    """Two live notifications remain if the newer one would not have replaced the other."""
    deployment, tenant = idle
    await create_users(tenant, ["ann", "bob"])
    await tenant.send("bob", title="before", collapseKey="power")
    send = await broadcast(tenant, "outage", collapseKey="power", requireAck=broadcast_ack)
    await asyncio.sleep(0.01)  # ids have the precision of a millisecond
    await tenant.send("ann", title="over", collapseKey="power", requireAck=newer_ack)
    await deployment.workers[0].start()
    ended = await expanded(tenant, send["id"])
    assert sorted(node["title"] for node in (await tenant.inbox("ann"))["nodes"]) == titles
    assert [node["title"] for node in (await tenant.inbox("bob"))["nodes"]] == ["outage"]
    replaced = {"channel": "IN_APP", "status": "SKIPPED", "count": 1, "reasons": [{"reason": "REPLACED"}]}
    assert (replaced in ended["counts"]) == (len(titles) == 1)


async def test_users_erased_during_the_expansion_are_not_created_again(tenant: Tenant) -> None:
    await create_users(tenant, USERS)
    sends = [await broadcast(tenant, str(number)) for number in range(3)]
    erased = USERS[:: scaled(15, 50)]

    async def erase(user: str) -> None:
        await retry_until_answered(lambda: tenant.execute_as_admin(DELETE_USER, id=user))

    await asyncio.gather(*(erase(user) for user in erased))
    for send in sends:
        assert (await expanded(tenant, send["id"], 60))["status"] == "ACCEPTED"
        reached = await count_recipients(tenant, send["id"])
        assert set(USERS) - set(erased) == set(reached)
        assert max(reached.values()) == 1
    for user in erased:
        assert (await tenant.execute(USER, id=user))["user"] is None


async def test_user_whose_inbox_is_busy_is_set_aside(tenant: Tenant, servers: tuple[Mongod, Redis]) -> None:
    """A transaction of the test holds the mailbox, so each transaction with this user conflicts."""
    users = USERS[:50]
    await create_users(tenant, users)
    await tenant.send(users[0])
    async with AsyncMongoClient(servers[0].url) as client, client.start_session() as session:
        async with await session.start_transaction():
            key = {"_id": f"{tenant.name}/{users[0]}"}
            await client["hub"].mailboxes.update_one(key, {"$inc": {"locks": 1}}, session=session)
            send = await broadcast(tenant, "all")

            async def all_others() -> bool:
                return bool((await get_send(tenant, send["id"]))["recipients"] == len(users) - 1)

            await eventually(all_others)
            assert (await get_send(tenant, send["id"]))["status"] == "EXPANDING"
            await session.abort_transaction()
    assert (await expanded(tenant, send["id"]))["recipients"] == len(users)
    assert await count_recipients(tenant, send["id"]) == Counter(users)


async def test_erased_user_is_in_no_part_of_an_expansion(
    idle: tuple[Deployment, Tenant], servers: tuple[Mongod, Redis], waiting: Running
) -> None:
    _, tenant = idle
    await create_users(tenant, ["ann", "bob", "carol"])
    await broadcast(tenant, without=["bob"])
    name: Any = waiting[0].apis[0].environment["HUB_MONGO_DATABASE"]
    async with AsyncMongoClient(servers[0].url) as client:
        database = client[name]
        of_tenant = {"tenant": tenant.name}
        bob = f"{tenant.name}/bob"
        await database.expansion_parts.update_one(of_tenant, {"$set": {"after": bob, "set_aside": [bob]}})
        await tenant.execute_as_admin(DELETE_USER, id="bob")
        part = await database.expansion_parts.find_one(of_tenant)
        assert part
        assert part["after"] == f"{tenant.name}/ann"
        for collection in ("expansion_parts", "sends"):
            assert not [doc async for doc in database[collection].find(of_tenant) if "bob" in repr(doc)]
