"""Categories, preferences and defaults of tenants."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from hub import model
from hub.audience.tenants import Tenants
from hub.errors import TooLarge
from hub.model import Category, Channel
from hub.platform.connections import DURABLE, SNAPSHOT, Database
from tests.client import Json, Tenant
from tests.graphql_errors import expect_error
from tests.preference_calls import MATRIX, UPDATE_PREFERENCES, read_preferences, summarize, update_preferences

CATEGORY = "key name description required defaultChannels priority retention"
UPSERT = f"mutation ($input: CategoryInput!) {{ upsertCategory(input: $input) {{ {CATEGORY} }} }}"
TENANT = f"mutation ($input: TenantInput!) {{ updateTenant(input: $input) {{ id name logoUrl color preferences {{ {MATRIX} }} }} }}"
SIMULATE = "query ($input: SendInput!, $first: Int) { simulate(input: $input, first: $first) { userId decisions { channel outcome reason dueAt title body } } }"
LATER = "2090-01-01T00:00:00.000Z"


async def simulate(tenant: Tenant, user: str, category: str, **more: Any) -> dict[str, tuple[str, str | None]]:
    fields = {"to": {"users": [user]}, "category": category, "content": {"title": "T", "body": "B"}, **more}
    [one] = (await tenant.execute(SIMULATE, input=fields))["simulate"]
    assert one["userId"] == user
    return {decision["channel"]: (decision["outcome"], decision["reason"]) for decision in one["decisions"]}


async def test_category_is_created_changed_and_listed_in_order(tenant: Tenant) -> None:
    created = {
        "key": "a.b/$c",
        "name": "News",
        "description": "New features",
        "required": True,
        "defaultChannels": ["IN_APP", "EMAIL"],
        "priority": "HIGH",
        "retention": "P1DT12H",
    }
    assert (await tenant.execute_as_admin(UPSERT, input=created))["upsertCategory"] == created
    await tenant.define_category("other")
    again = {"key": "a.b/$c", "name": "Newer", "defaultChannels": ["EMAIL", "EMAIL"]}
    changed = (await tenant.execute_as_admin(UPSERT, input=again))["upsertCategory"]
    assert changed == again | {
        "description": None,
        "required": False,
        "defaultChannels": ["EMAIL"],
        "priority": "MEDIUM",
        "retention": None,
    }
    for _ in tenant.urls:  # each process
        listed = (await tenant.execute(f"{{ categories {{ {CATEGORY} }} }}"))["categories"]
        assert [category["key"] for category in listed] == ["a.b/$c", "other"]
        assert listed[0] == changed


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "input.key"),
        ({"name": " "}, "input.name"),
        ({"defaultChannels": []}, "input.defaultChannels"),
        ({"description": "x" * 1025}, "input.description"),
        ({"retention": "PT0S"}, "input.retention"),
        ({"retention": "P1M"}, "input.retention"),
        ({"retention": "soon"}, "input.retention"),
    ],
)
async def test_invalid_category_is_rejected(tenant: Tenant, fields: Json, field: str | None) -> None:
    complete = {"key": "k", "name": "n", "defaultChannels": ["IN_APP"]} | fields
    assert await expect_error(tenant.execute_as_admin(UPSERT, input=complete)) == ("BAD_USER_INPUT", field)


async def test_100_concurrent_categories_are_stored_and_the_201st_is_rejected(tenant: Tenant) -> None:
    await asyncio.gather(*(tenant.define_category(f"c{number}") for number in range(100)))
    assert len((await tenant.execute("{ categories { key } }"))["categories"]) == 100
    for start in (100, 150):
        await asyncio.gather(*(tenant.define_category(f"c{number}") for number in range(start, start + 50)))
    assert (await expect_error(tenant.define_category("one more")))[0] == "TOO_LARGE"
    await tenant.define_category("c7", "EMAIL")


async def test_notification_keeps_the_category_name_at_its_send(tenant: Tenant, database: Database) -> None:
    query = "subscription ($after: Cursor) { inbox(after: $after) { notification { category categoryName } } }"
    received = [{"category": "billing", "categoryName": name} for name in ("billing", "Invoices", "Invoices")]
    async with tenant.feed("alice", (await tenant.inbox("alice"))["position"], query=query) as feed:
        await tenant.send("alice", category="billing")  # created on first use
        await tenant.define_category("billing", name="Invoices")
        await tenant.send("alice", category="billing")
        await tenant.send("alice", *(f"user{number}" for number in range(10)), category="billing")
        await tenant.define_category("billing", name="Bills")
        assert [event["notification"] for event in await feed.take(3)] == received
    inbox = (await tenant.execute("{ inbox { nodes { category categoryName } } }", user="alice"))["inbox"]
    assert inbox["nodes"] == received[::-1]
    stored = await database.notifications.find({"mailbox": f"{tenant.name}/alice"}).sort("modseq").to_list()
    assert [doc.get("category_name") for doc in stored] == [
        None,
        "Invoices",
        "Invoices",
    ]  # like those from before it existed
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]["notifications"]
    assert [n.get("categoryName") for n in exported] == ["Invoices", "Invoices", None]


async def test_preferences_of_an_unknown_user_are_defaults_and_create_no_user(
    tenant: Tenant, database: Database
) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL", "SMS")
    await tenant.define_category("security", required=True)
    found = await read_preferences(tenant, "alice")
    columns = found["columns"][0]
    assert {"IN_APP", "EMAIL", "SMS"} <= set(columns)
    assert found["columns"] == [columns, columns]
    assert found["on"] == {key: set(columns) for key in [None, "news", "security"]}
    assert found["locked"] == {"security"}
    assert await database.users.find_one({"_id": f"{tenant.name}/alice"}) is None


async def test_absent_preference_is_unchanged_and_null_clears(tenant: Tenant) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL")
    await tenant.define_category("other", "IN_APP", "EMAIL")
    await update_preferences(tenant, "alice", channels=[{"channel": "EMAIL", "enabled": False}])
    found = await update_preferences(
        tenant, "alice", categories=[{"category": "news", "channel": "IN_APP", "enabled": False}]
    )
    assert "EMAIL" not in found["on"][None]
    assert "IN_APP" not in found["on"]["news"]
    assert "IN_APP" in found["on"]["other"]
    found = await update_preferences(tenant, "alice", categories=[{"category": "news", "mutedUntil": LATER}])
    assert found["muted"] == {"news": LATER}
    assert "IN_APP" not in found["on"]["news"]
    found = await update_preferences(
        tenant, "alice", categories=[{"category": "news", "channel": "IN_APP", "enabled": None}]
    )
    assert (found["muted"], "IN_APP" in found["on"]["news"]) == ({"news": LATER}, True)
    found = await update_preferences(tenant, "alice", categories=[{"category": "news", "mutedUntil": None}])
    assert found["muted"] == {}
    found = await update_preferences(tenant, "alice", categories=[{"category": "news", "enabled": False}])
    assert found["on"]["news"] == set()
    assert found == await read_preferences(tenant, "alice") == await update_preferences(tenant, "alice")
    found = await update_preferences(tenant, "alice", channels=None, categories=None)
    assert found["on"][None] == found["on"]["news"] == set(found["columns"][0])
    query = f'{{ user(id: "alice") {{ preferences {{ {MATRIX} }} }} }}'
    assert summarize((await tenant.execute(query))["user"]["preferences"]) == found


async def test_invalid_preferences_are_rejected(tenant: Tenant) -> None:
    await tenant.define_category("news")

    async def reason(**fields: Any) -> tuple[str, str | None]:
        return await expect_error(tenant.execute(UPDATE_PREFERENCES, user="alice", input=fields))

    assert await reason(categories=[{"category": "news"}, {"category": "nwes", "enabled": False}]) == (
        "BAD_USER_INPUT",
        "input.categories.1.category",
    )
    many = [{"category": "news", "channel": "EMAIL", "enabled": False}] * 1001
    assert await reason(categories=many) == ("BAD_USER_INPUT", "input.categories")
    assert await reason(channels=[{"channel": "EMAIL", "enabled": True}] * 1001) == ("BAD_USER_INPUT", "input.channels")


async def test_locked_cell_cannot_be_disabled_nor_its_category_muted(tenant: Tenant) -> None:
    await tenant.define_category("news")
    await tenant.define_category("security", "IN_APP", required=True)
    off = {"category": "security", "enabled": False}
    for cell, field in [
        (off, "enabled"),
        ({**off, "channel": "IN_APP"}, "enabled"),
        ({"category": "security", "mutedUntil": LATER}, "mutedUntil"),
    ]:
        requested = {"categories": [{"category": "news", "enabled": False}, cell]}
        where = f"categories.1.{field}"
        refused = tenant.execute(UPDATE_PREFERENCES, user="alice", input=requested)
        assert await expect_error(refused) == ("BAD_USER_INPUT", f"input.{where}")
        refused = tenant.execute_as_admin(TENANT, input={"preferences": requested})
        assert await expect_error(refused) == ("BAD_USER_INPUT", f"input.preferences.{where}")
    assert "IN_APP" in (await read_preferences(tenant, "alice"))["on"]["news"], "all or nothing"
    complete = [
        {"category": "security", "channel": "IN_APP", "enabled": True},
        {"category": "security", "enabled": None, "mutedUntil": None},
    ]
    assert "IN_APP" in (await update_preferences(tenant, "alice", categories=complete))["on"]["security"]


async def test_required_category_is_locked_despite_earlier_preferences(tenant: Tenant) -> None:
    await tenant.define_category("security", "IN_APP")
    await update_preferences(tenant, "alice", channels=[{"channel": "IN_APP", "enabled": False}])
    await update_preferences(
        tenant, "alice", categories=[{"category": "security", "enabled": False, "mutedUntil": LATER}]
    )
    await tenant.define_category("security", "IN_APP", required=True)
    found = await read_preferences(tenant, "alice")
    assert (found["locked"], found["muted"]) == ({"security"}, {})
    assert "IN_APP" in found["on"]["security"]
    assert (await simulate(tenant, "alice", "security"))["IN_APP"] == ("ACCEPTED", None)
    await tenant.define_category("security", "IN_APP", required=False)
    assert (await read_preferences(tenant, "alice"))["muted"] == {"security": LATER}


async def test_100_concurrent_cell_changes_are_all_stored(tenant: Tenant) -> None:
    keys = [f"c{number}" for number in range(20)]
    await asyncio.gather(
        *(tenant.define_category(key, "EMAIL", "WEBHOOK", "SMS", "WEB_PUSH", "MOBILE_PUSH") for key in keys)
    )
    channels = ["EMAIL", "WEBHOOK", "SMS", "WEB_PUSH", "MOBILE_PUSH"]
    cells = [{"category": key, "channel": channel, "enabled": False} for key in keys for channel in channels]
    await asyncio.gather(*(update_preferences(tenant, "alice", categories=[cell]) for cell in cells))
    found = await read_preferences(tenant, "alice")
    assert [found["on"][key] & set(channels) for key in keys] == [set()] * len(keys)


async def test_users_inherit_the_preferences_of_the_tenant(tenant: Tenant) -> None:
    await tenant.define_category("news", "IN_APP", "EMAIL")
    start = {
        "channels": [{"channel": "EMAIL", "enabled": False}],
        "categories": [{"category": "news", "channel": "SMS", "enabled": False}],
    }
    fields = {"name": "Acme", "logoUrl": "https://acme.example/logo.png", "color": "#00ff7F", "preferences": start}
    created = (await tenant.execute_as_admin(TENANT, input=fields))["updateTenant"]
    assert {name: created[name] for name in ("id", "name", "logoUrl", "color")} == {
        "id": tenant.name,
        **{name: fields[name] for name in ("name", "logoUrl", "color")},
    }
    assert summarize(created["preferences"]) == await read_preferences(tenant, "alice")
    assert (await simulate(tenant, "alice", "news"))["EMAIL"] == ("SKIPPED", "PREFERENCE")
    found = await update_preferences(tenant, "alice", channels=[{"channel": "EMAIL", "enabled": True}])
    assert ("EMAIL" in found["on"][None], "SMS" in found["on"]["news"]) == (True, False)
    assert (await simulate(tenant, "alice", "news"))["EMAIL"][1] != "PREFERENCE"
    created = (await tenant.execute_as_admin(TENANT, input={"name": None, "preferences": None}))["updateTenant"]
    assert (created["name"], created["color"]) == (tenant.name, "#00ff7F")
    assert "EMAIL" in (await read_preferences(tenant, "bob"))["on"][None]
    assert (await tenant.execute_as_admin("{ tenant { id color } }"))["tenant"] == {
        "id": tenant.name,
        "color": "#00ff7F",
    }


async def test_category_of_first_use_is_created_once_and_tenant_caches_are_current(
    tenant: Tenant, database: Database
) -> None:
    first_cache, second_cache = Tenants(database, 3, 5), Tenants(database, 3, 5)

    async def use(tenants: Tenants, key: str) -> None:
        """As a send does: the category is read outside the transaction, which is repeated after a conflict."""
        while True:
            async with database.client.start_session() as session:
                await session.start_transaction(read_concern=SNAPSHOT, write_concern=DURABLE)
                try:
                    existing = (await tenants.get_many([tenant.name]))[tenant.name]
                    if existing.category(key) is None:
                        await database.tenants.bulk_write(
                            [tenants.create_category_update(existing, key)] * 2, session=session
                        )
                    await session.commit_transaction()
                    return
                except PyMongoError as error:
                    assert error.has_error_label("TransientTransactionError") or "E11000" in str(error)

    await asyncio.gather(
        *(use(tenants, key) for tenants in (first_cache, second_cache) for key in ("a", "b.c", "$d") for _ in "123")
    )
    for tenants in (first_cache, second_cache):
        found = await tenants.get(tenant.name)
        assert sorted(category.key for category in found.categories) == ["$d", "a", "b.c"]
        assert found.category("a") == Category(key="a", name="a")
        with pytest.raises(TooLarge, match="HUB_TENANT_MAX_CATEGORIES"):
            tenants.create_category_update(found, "one more")
    await tenant.define_category("a", "EMAIL")
    for tenants in (first_cache, second_cache):
        category = (await tenants.get(tenant.name)).category("a")
        assert category
        assert category.default_channels == ("EMAIL",)
    assert await first_cache.get_many(["nobody's", tenant.name]) == {
        "nobody's": model.Tenant(id="nobody's"),
        tenant.name: await second_cache.get(tenant.name),
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "input.name"),
        ({"logoUrl": "javascript:alert(1)"}, "input.logoUrl"),
        ({"color": "red"}, "input.color"),
        ({"preferences": {"categories": [{"category": "none"}]}}, "input.preferences.categories.0.category"),
    ],
)
async def test_invalid_tenant_is_rejected(tenant: Tenant, fields: Json, field: str) -> None:
    assert await expect_error(tenant.execute_as_admin(TENANT, input=fields)) == ("BAD_USER_INPUT", field)


async def test_simulate_decides_every_channel_and_stores_nothing(tenant: Tenant, database: Database) -> None:
    users = [{"id": "alice", "email": "alice@example.org"}]
    await tenant.execute("mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }", users=users)
    before = [await database[name].find({"_id": {"$regex": f"^{tenant.name}"}}).to_list() for name in KEPT]
    fields = {
        "to": {"users": ["alice", "nobody", "alice", "third"]},
        "category": "never heard of",
        "content": {"title": "T", "body": "B"},
        "channels": ["IN_APP", "EMAIL", "WEBHOOK", "SLACK"],
        "priority": "HIGH",
    }
    found = (await tenant.execute(SIMULATE, input=fields, first=2))["simulate"]
    assert [one["userId"] for one in found] == ["alice", "nobody"]
    for one in found:
        assert len(one["decisions"]) == len(Channel)
        by_channel = {decision["channel"]: decision for decision in one["decisions"]}
        assert by_channel["IN_APP"] == {
            "channel": "IN_APP",
            "outcome": "ACCEPTED",
            "reason": None,
            "dueAt": None,
            "title": "T",
            "body": "B",
        }
        reasons = {channel: decision["reason"] for channel, decision in by_channel.items() if decision["reason"]}
        assert (reasons.pop("EMAIL"), reasons.pop("WEBHOOK")) == ("NOT_CONFIGURED", "NO_ADDRESS")
        assert reasons.pop("SLACK") == "NO_ADDRESS"
        assert set(reasons.values()) == {"NOT_REQUESTED"}
        assert by_channel["SMS"]["title"] is None
    assert before == [await database[name].find({"_id": {"$regex": f"^{tenant.name}"}}).to_list() for name in KEPT]
    assert await database.notifications.count_documents({"mailbox": {"$regex": f"^{tenant.name}/"}}) == 0
    assert await database.sends.count_documents({"tenant": tenant.name}) == 0


KEPT = ["users", "tenants", "mailboxes", "idempotency"]


async def test_simulate_rejects_what_send_rejects(tenant: Tenant) -> None:
    fields = {"to": {"users": ["alice"]}, "category": "c", "content": {"title": " ", "body": "B"}}
    assert await expect_error(tenant.execute(SIMULATE, input=fields)) == ("BAD_USER_INPUT", "input.content.title")
    fields["content"] = {"title": "T", "body": "B"}
    assert await expect_error(tenant.execute(SIMULATE, input=fields, first=101)) == ("BAD_USER_INPUT", "first")


async def test_simulate_respects_preferences_and_mutes(tenant: Tenant) -> None:
    await tenant.define_category("news", "IN_APP", "WEBHOOK")
    query = 'mutation { connectWebhook(url: "https://hooks.example/a") { device { id } } }'
    await tenant.execute(query, user="alice")
    assert {c: d for c, d in (await simulate(tenant, "alice", "news")).items() if d[0] == "ACCEPTED"} == {
        "IN_APP": ("ACCEPTED", None),
        "WEBHOOK": ("ACCEPTED", None),
    }
    await update_preferences(tenant, "alice", categories=[{"category": "news", "channel": "WEBHOOK", "enabled": False}])
    assert (await simulate(tenant, "alice", "news"))["WEBHOOK"] == ("SKIPPED", "PREFERENCE")
    await update_preferences(tenant, "alice", categories=[{"category": "news", "mutedUntil": LATER}])
    found = await simulate(tenant, "alice", "news")
    assert (found["IN_APP"], found["WEBHOOK"]) == (("SKIPPED", "MUTED"), ("SKIPPED", "MUTED"))
