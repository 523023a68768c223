"""Two users, and two tenants with the same user ids: no data of the other is visible or changed. Data of another caller
looks exactly like missing data."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from hub.ids import new_id
from hub.model import Role
from hub.platform.connections import Database
from tests.client import FEED, NOTIFICATION, GraphQLErrors, Json, Tenant
from tests.processes import Deployment

MARKS = [
    "markSeen",
    "markRead",
    "markUnread",
    "archive",
    "unarchive",
    "snooze",
    "unsnooze",
    "acknowledge",
    "pin",
    "unpin",
]
LATER = "2090-01-01T00:00:00Z"
RECEIPTS = "subscription ($id: ID, $after: Cursor) { receipts(sendId: $id, after: $after) { id cursor kind userId sendId notificationId } }"


@pytest.fixture
async def other(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


async def stored_data(database: Database, tenant: Tenant) -> str:
    """Return all data of a tenant, comparable."""
    within = {"$regex": f"^{tenant.name}/"}
    found = [
        await database.notifications.find({"mailbox": within}).sort("_id", 1).to_list(),
        await database.mailboxes.find({"_id": within}).sort("_id", 1).to_list(),
        await database.users.find({"_id": within}).sort("_id", 1).to_list(),
        await database.sends.find({"tenant": tenant.name}).sort("_id", 1).to_list(),
        await database.receipts.find({"tenant": tenant.name}).sort("_id", 1).to_list(),
        await database.idempotency.find({"_id": within}).sort("_id", 1).to_list(),
        await database.tenants.find({"_id": tenant.name}).to_list(),
    ]
    return json.dumps(found, default=str)


def normalize(response: Json, id: str) -> Json:
    """Return the response without the values that differ by nature: the requested id, and the time in a position."""
    text = json.dumps(response).replace(id, "ID")
    received: Json = json.loads(text)
    for payload in (received.get("data") or {}).values():
        if isinstance(payload, dict):
            payload.pop("position", None)
    for error in received.get("errors", []):
        error["extensions"].pop("requestId", None)
    return received


async def foreign_callers(tenant: Tenant, other: Tenant) -> list[tuple[Tenant, str]]:
    """Callers that may not change alice's notification: bob in her tenant, and the user with her id in the other
    tenant."""
    await tenant.send("bob")
    await other.send("alice")
    return [(tenant, "bob"), (other, "alice")]


async def test_notification_of_another_user_looks_missing(tenant: Tenant, other: Tenant) -> None:
    await tenant.send("alice")
    [own] = (await tenant.inbox("alice"))["nodes"]
    missing = new_id()
    query = f"query ($id: ID!) {{ notification(id: $id) {{ {NOTIFICATION} }} }}"
    assert (await tenant.execute(query, user="alice", id=own["id"]))["notification"] == own
    for where, user in await foreign_callers(tenant, other):
        foreign_result = await where.execute_raw(query, user=user, id=own["id"])
        assert foreign_result == {"data": {"notification": None}}
        assert normalize(foreign_result, own["id"]) == normalize(
            await where.execute_raw(query, user=user, id=missing), missing
        )


@pytest.mark.parametrize("field", MARKS)
async def test_mark_of_a_foreign_notification_changes_nothing_and_looks_missing(
    tenant: Tenant, other: Tenant, database: Database, field: str
) -> None:
    await tenant.send("alice", requireAck=True)
    await tenant.send("alice", requireAck=True)
    own, second = [n["id"] for n in (await tenant.inbox("alice"))["nodes"]]
    # One is in a state that the mark would end.
    await tenant.mark("alice", "markRead", second)
    await tenant.mark("alice", "snooze", second, until=LATER) if field == "unsnooze" else None
    await tenant.mark("alice", "archive", second) if field == "unarchive" else None
    await tenant.mark("alice", "pin", second) if field == "unpin" else None
    others = await foreign_callers(tenant, other)
    before = await stored_data(database, tenant), await stored_data(database, other)
    until = f', until: "{LATER}"' if field == "snooze" else ""
    query = f"mutation ($ids: [ID!]!) {{ m: {field}(ids: $ids{until}) {{ changed unread unseen position notifications {{ id }} }} }}"
    for where, user in others:
        for id in (own, second):
            foreign_result = await where.execute_raw(query, user=user, ids=[id])
            assert foreign_result["data"]["m"]["changed"] == 0
            missing = new_id()
            assert normalize(foreign_result, id) == normalize(
                await where.execute_raw(query, user=user, ids=[missing]), missing
            )
    assert before == (await stored_data(database, tenant), await stored_data(database, other))


async def test_mark_of_mixed_ids_changes_only_own_notifications(tenant: Tenant, other: Tenant) -> None:
    ids = []
    for where, user in ((tenant, "alice"), (tenant, "bob"), (other, "alice")):
        await where.send(user)
        ids.append((await where.inbox(user))["nodes"][0]["id"])
    payload = await tenant.mark("alice", "markRead", *ids)
    assert (payload["changed"], [n["id"] for n in payload["notifications"]]) == (1, ids[:1])
    assert (await tenant.inbox("bob"))["unread"] == (await other.inbox("alice"))["unread"] == 1


@pytest.mark.parametrize("field", ["markAllSeen", "markAllRead", "archiveAll"])
async def test_mark_all_changes_only_the_inbox_of_the_caller(
    tenant: Tenant, other: Tenant, database: Database, field: str
) -> None:
    await tenant.send("bob")
    await other.send("alice")
    before = await stored_data(database, other)
    await tenant.send("alice")
    assert (await tenant.mark_all("alice", field))["changed"] == 1
    assert before == await stored_data(database, other)
    page = await tenant.inbox("bob")
    assert (page["unread"], page["unseen"]) == (1, 1)


async def test_user_of_another_tenant_looks_missing(tenant: Tenant, other: Tenant) -> None:
    await other.send("carol")
    query = "query ($id: ID!) { user(id: $id) { id email inbox { unread nodes { id } } } }"
    assert (await other.execute(query, id="carol"))["user"]["inbox"]["unread"] == 1
    assert (
        await tenant.execute_raw(query, id="carol")
        == await tenant.execute_raw(query, id="nobody")
        == {"data": {"user": None}}
    )
    # A key consists of tenant and user, so neither can be injected into the other.
    for id in (f"{other.name}/carol", f"../{other.name}/carol"):
        assert await tenant.execute_raw(query, id=id) == {"data": {"user": None}}


async def test_upsert_users_does_not_change_the_same_id_in_another_tenant(tenant: Tenant, other: Tenant) -> None:
    query = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id email } }"
    await other.execute(query, users=[{"id": "alice", "email": "a@other.example"}])
    await tenant.execute(query, users=[{"id": "alice", "email": "a@this.example"}])
    assert (await other.execute('{ user(id: "alice") { email } }'))["user"] == {"email": "a@other.example"}


async def test_device_of_another_user_looks_missing_and_stays(
    tenant: Tenant, other: Tenant, database: Database
) -> None:
    connect = 'mutation { connectWebhook(url: "https://hooks.example/a") { device { id } } }'
    own = (await tenant.execute(connect, user="alice"))["connectWebhook"]["device"]["id"]
    others = await foreign_callers(tenant, other)
    before = await stored_data(database, tenant)
    query = "mutation ($id: ID!) { removeDevice(id: $id) }"
    for where, user in others:
        responses = [await where.execute_raw(query, user=user, id=id) for id in (own, new_id())]
        assert responses == [{"data": {"removeDevice": False}}] * 2
    assert before == await stored_data(database, tenant)


async def test_browser_registered_in_two_tenants_stays_in_both(tenant: Tenant, other: Tenant) -> None:
    fields = {"endpoint": "https://push.example/both", "p256dh": POINT, "auth": "A" * 22}
    query = "mutation ($input: WebPushInput!) { registerWebPush(input: $input) { id } }"
    for where in (tenant, other):
        await where.execute(query, user="alice", input=fields)
    for where in (tenant, other):
        assert len((await where.execute("{ me { devices { id } } }", user="alice"))["me"]["devices"]) == 1


async def test_categories_and_settings_of_tenants_are_separate(
    tenant: Tenant, other: Tenant, database: Database
) -> None:
    await other.define_category("theirs", "IN_APP", required=True)
    off = "mutation ($k: String!) { updatePreferences(input: {categories: [{category: $k, enabled: false}]}) { categories { category { key } } } }"
    before = await stored_data(database, other)
    keys = ("theirs", "unknown")
    errors = [str((await tenant.execute_raw(off, user="alice", k=key))["errors"]).replace(key, "") for key in keys]
    assert errors[0] == errors[1]
    await tenant.define_category("theirs", "EMAIL")
    assert before == await stored_data(database, other)
    [own] = (await tenant.execute("{ categories { required } }"))["categories"]
    assert own["required"] is False


@pytest.mark.parametrize("field", ["exportUser", "deleteUser"])
async def test_user_of_another_tenant_is_neither_exported_nor_erased(
    tenant: Tenant, other: Tenant, database: Database, field: str
) -> None:
    await other.send("carol")
    before = await stored_data(database, other)
    query = f"mutation ($id: ID!) {{ {field}(id: $id) }}"
    headers = {"authorization": f"Bearer {tenant.token(role=Role.ADMIN)}"}
    foreign_result = [
        await tenant.execute_raw(query, headers=headers, id=id) for id in ("carol", "nobody", f"../{other.name}/carol")
    ]
    assert foreign_result[0] == foreign_result[1] == foreign_result[2]
    assert before == await stored_data(database, other)


async def test_send_of_another_tenant_looks_missing(tenant: Tenant, other: Tenant) -> None:
    sent = (await other.send("alice"))["send"]["id"]
    query = "query ($id: ID!) { send(id: $id) { id counts { count } notifications { nodes { id title } } } }"
    assert (await other.execute(query, id=sent))["send"]["counts"] == [{"count": 1}]
    assert (
        await tenant.execute_raw(query, id=sent)
        == await tenant.execute_raw(query, id=new_id())
        == {"data": {"send": None}}
    )


async def test_sends_and_their_cursors_show_only_the_own_tenant(tenant: Tenant, other: Tenant) -> None:
    own = [(await tenant.send("alice"))["send"]["id"]]
    foreign_result = [(await other.send("alice"))["send"]["id"] for _ in range(3)]
    own.append((await tenant.send("alice"))["send"]["id"])
    query = "query ($after: String) { sends(after: $after) { nodes { id } edges { cursor } } }"
    found = (await tenant.execute(query))["sends"]
    assert [node["id"] for node in found["nodes"]] == own[::-1]
    cursors = [edge["cursor"] for edge in (await other.execute(query))["sends"]["edges"]]
    assert len(cursors) == 3
    for cursor in cursors:  # between the two of this tenant
        assert [node["id"] for node in (await tenant.execute(query, after=cursor))["sends"]["nodes"]] == own[:1]
    query = "query ($id: ID!, $after: String) { send(id: $id) { notifications(after: $after) { nodes { userId } } } }"
    inner = (await other.execute("{ sends { nodes { notifications { edges { cursor } } } } }"))["sends"]["nodes"]
    after = inner[0]["notifications"]["edges"][0]["cursor"]
    assert (await tenant.execute(query, id=own[0], after=after))["send"]["notifications"]["nodes"] == []
    assert len((await tenant.execute(query, id=own[1], after=after))["send"]["notifications"]["nodes"]) == 1
    assert (await tenant.execute(query, id=foreign_result[0], after=after))["send"] is None


async def test_inbox_cursor_of_another_user_shows_only_the_own_inbox(tenant: Tenant, other: Tenant) -> None:
    query = "query ($after: String) { inbox(after: $after) { nodes { title } edges { cursor } } }"
    for where, user in ((tenant, "alice"), (tenant, "bob"), (other, "alice")):
        for number in range(3):
            await where.send(user, title=f"{where.name} {user} {number}")
    [_, cursor, _] = [edge["cursor"] for edge in (await other.execute(query, user="alice"))["inbox"]["edges"]]
    for where, user in ((tenant, "alice"), (tenant, "bob")):
        [node] = (await where.execute(query, user=user, after=cursor))["inbox"]["nodes"]
        assert node["title"] == f"{where.name} {user} 0"


async def test_position_of_another_inbox_is_a_resync(tenant: Tenant, other: Tenant) -> None:
    positions = []
    for where, user in ((tenant, "bob"), (other, "alice")):
        positions.append((await where.inbox(user))["position"])
        await where.send(user, title="Theirs")
        positions.append((await where.inbox(user))["position"])
    await tenant.send("alice", title="Mine")
    for position in positions:
        async with tenant.feed("alice", position) as feed:
            async with asyncio.timeout(60):
                events = [event async for event in feed]
        assert [(event["kind"], event["notification"], event["unread"]) for event in events] == [("RESYNC", None, 1)]


async def test_feed_shows_only_the_own_inbox(tenant: Tenant, other: Tenant) -> None:
    positions = [(await tenant.inbox(user))["position"] for user in ("alice", "bob")]
    async with tenant.feed("alice", positions[0]) as alice, tenant.feed("bob", positions[1]) as bob:
        await other.send("alice", "bob", title="Theirs")
        await tenant.send("alice", title="For alice")
        await tenant.send("bob", title="For bob")
        await tenant.send("alice", "bob", title="For both")
        for feed, name in ((alice, "alice"), (bob, "bob")):
            titles = [event["notification"]["title"] for event in await feed.take(2)]
            assert titles == [f"For {name}", "For both"]


async def test_receipts_of_a_foreign_send_look_missing(tenant: Tenant, other: Tenant) -> None:
    foreign_result = (await other.send("alice"))["send"]["id"]
    received = []
    for id in (foreign_result, new_id()):
        async with tenant.socket() as socket:
            with pytest.raises(GraphQLErrors) as refused:
                await (await socket.subscribe(RECEIPTS, variables={"id": id})).take(1)
        received.append(refused.value.errors)
    assert received[0] == received[1]
    assert refused.value.code == "NOT_FOUND"


async def test_receipt_cursor_of_another_tenant_shows_only_own_receipts(tenant: Tenant, other: Tenant) -> None:
    """A cursor is a position in the receipts of all tenants, so each tenant's receipts after it follow."""
    sent = (await other.send("alice", "carol"))["send"]["id"]
    async with other.socket() as socket:
        [foreign_result] = await (await socket.subscribe(RECEIPTS, variables={"id": sent})).take(1)
    await other.send("alice")
    own = await tenant.send("bob")
    async with tenant.socket() as socket:
        [receipt] = await (await socket.subscribe(RECEIPTS, variables={"after": foreign_result["cursor"]})).take(1)
    assert receipt["sendId"] == own["send"]["id"]


async def test_idempotency_keys_of_tenants_are_separate(tenant: Tenant, other: Tenant) -> None:
    first = await tenant.send("alice", title="One", idempotencyKey="k")
    second = await other.send("alice", title="Another", idempotencyKey="k")
    assert (first["duplicate"], second["duplicate"]) == (False, False)
    query = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id locale } }"
    for where, locale in ((tenant, "de"), (other, "fr")):
        response = await where.execute_raw(
            query, users=[{"id": "u", "locale": locale}], headers={"Idempotency-Key": "h"}
        )
        assert response["data"]["upsertUsers"] == [{"id": "u", "locale": locale}]


POINT = (
    "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"  # the generator of P-256
)
USER_FIELDS = [
    "{ me { id } }",
    "{ inbox { unread } }",
    '{ notification(id: "x") { id } }',
    *[
        f'mutation {{ {field}(ids: ["x"]{f", until: {json.dumps(LATER)}" if field == "snooze" else ""}) {{ changed }} }}'
        for field in MARKS
    ],
    *[f"mutation {{ {field} {{ changed }} }}" for field in ("markAllSeen", "markAllRead", "archiveAll")],
    "{ preferences { channels { enabled } } }",
    "mutation { updatePreferences(input: {}) { channels { enabled } } }",
    f'mutation {{ registerWebPush(input: {{endpoint: "https://push.example/a", p256dh: "{POINT}", auth: "{"A" * 22}"}}) {{ id }} }}',
    'mutation { registerMobileDevice(input: {platform: "fcm", token: "t"}) { id } }',
    'mutation { connectWebhook(url: "https://hooks.example/a") { secret } }',
    'mutation { removeDevice(id: "x") }',
    'mutation { leaveTopic(topic: "t") { leftAt } }',
    'mutation { rejoinTopic(topic: "t") { leftAt } }',
]
SERVICE_FIELDS = [
    '{ user(id: "alice") { id } }',
    '{ send(id: "x") { id } }',
    "{ sends { nodes { id } } }",
    'mutation { send(input: {to: {users: ["alice"]}, category: "c", content: {title: "t", body: "b"}}) { duplicate } }',
    'mutation { sendMany(inputs: [{to: {users: ["alice"]}, category: "c", content: {title: "t", body: "b"}}]) { duplicate } }',
    'mutation { upsertUsers(users: [{id: "alice"}]) { id } }',
    "{ categories { key } }",
    "{ topics { nodes { key } } }",
    'mutation { upsertTopic(input: {key: "t"}) { key } }',
    'mutation { subscribeToTopic(topic: "t", users: ["alice"]) }',
    'mutation { unsubscribeFromTopic(topic: "t", users: ["alice"]) }',
    '{ simulate(input: {to: {users: ["alice"]}, category: "c", content: {title: "t", body: "b"}}) { userId } }',
]
ADMIN_FIELDS = [
    "{ tenant { id } }",
    'mutation { updateTenant(input: {name: "n"}) { id } }',
    'mutation { upsertCategory(input: {key: "c", name: "n", defaultChannels: [IN_APP]}) { key } }',
    'mutation { exportUser(id: "alice") }',
    'mutation { deleteUser(id: "alice") }',
]


@pytest.mark.parametrize("query", USER_FIELDS)
async def test_service_without_a_user_on_a_users_field_is_forbidden(tenant: Tenant, query: str) -> None:
    response = await tenant.execute_raw(query)
    assert [error["extensions"]["code"] for error in response["errors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize("query", SERVICE_FIELDS + ADMIN_FIELDS)
async def test_user_on_a_services_field_is_forbidden(tenant: Tenant, database: Database, query: str) -> None:
    response = await tenant.execute_raw(query, user="alice")
    assert [error["extensions"]["code"] for error in response["errors"]] == ["FORBIDDEN"]
    assert await stored_data(database, tenant) == "[[], [], [], [], [], [], []]"


@pytest.mark.parametrize("query", ADMIN_FIELDS)
async def test_service_on_an_admins_field_is_forbidden(tenant: Tenant, database: Database, query: str) -> None:
    response = await tenant.execute_raw(query)
    assert [error["extensions"]["code"] for error in response["errors"]] == ["FORBIDDEN"]
    assert await stored_data(database, tenant) == "[[], [], [], [], [], [], []]"


@pytest.mark.parametrize(("query", "user"), [(FEED, None), (RECEIPTS, "alice")])
async def test_subscription_of_the_wrong_role_is_forbidden(tenant: Tenant, query: str, user: str | None) -> None:
    async with tenant.socket(user) as socket:
        feed = await socket.subscribe(query)
        with pytest.raises(GraphQLErrors) as refused:
            await feed.take(1)
    assert refused.value.code == "FORBIDDEN"


async def test_admin_has_service_rights_and_a_service_with_a_user_sees_that_inbox(tenant: Tenant) -> None:
    async def ask(token: str, query: str) -> Any:
        async with tenant.http.post(
            tenant.next_url(), json={"query": query}, headers={"authorization": f"Bearer {token}"}
        ) as response:
            return await response.json()

    for query in SERVICE_FIELDS + ADMIN_FIELDS[:-1]:
        assert "errors" not in await ask(tenant.token(role=Role.ADMIN), query)
    result = await ask(tenant.token("alice", role=Role.SERVICE), "{ me { id } inbox { unread } }")
    assert result == {"data": {"me": {"id": "alice"}, "inbox": {"unread": 2}}}
