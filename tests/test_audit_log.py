"""The audit log."""

import asyncio
import getpass
import json
import re
from collections import Counter
from datetime import datetime
from random import Random
from typing import Any

import orjson
import pytest
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.api.schema.audit import AUDITED, NOT_AUDITED
from hub.api.schema.root import make_schema
from hub.audience.optimistic_update import try_transaction
from hub.audience.search_fields import SearchFields
from hub.audience.tenants import Tenants
from hub.audience.topics import Topics
from hub.audience.users import ProfileUpdate, Users
from hub.errors import Unavailable
from hub.model import Category, mailbox_of
from hub.platform.audit import AuditedAction, AuditLog, record_command
from hub.platform.audit_changes import MAX_BYTES, encoded, set_up_changes
from hub.platform.connections import Database
from hub.platform.encryption import Encryption
from hub.settings import Settings
from hub.webhooks.endpoints import Endpoints
from tests import template_calls, webhook_data
from tests.audit_calls import LOG, audit_log, execute_as
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.processes import SECRET, Deployment
from tests.telemetry import log_lines
from tests.topics import calls as topic_calls

UPSERT_CATEGORY = "mutation ($i: CategoryInput!) { upsertCategory(input: $i) { key } }"
DELETE_CATEGORY = "mutation ($key: String!) { deleteCategory(key: $key) }"
UPDATE_TENANT = "mutation ($i: TenantInput!) { updateTenant(input: $i) { id } }"
UPSERT_USERS = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }"
DELETE_USER = "mutation ($id: ID!) { deleteUser(id: $id) }"
EXPORT_USER = "mutation ($id: ID!) { exportUser(id: $id) }"
CREATE_KEY = "mutation ($i: ServiceKeyInput!) { createServiceKey(input: $i) { secret key { id } } }"
REVOKE_KEY = "mutation ($id: ID!) { revokeServiceKey(id: $id) { id } }"
UPSERT_RULE = "mutation ($i: RuleInput!) { upsertRule(input: $i) { key } }"
DELETE_RULE = "mutation ($key: String!) { deleteRule(key: $key) }"
LIFT = "mutation ($id: ID!, $a: String!) { liftSuppression(userId: $id, address: $a) }"
ADMINS = ["ann", "ben"]


def test_every_mutation_is_audited_or_says_why_not() -> None:
    """A new mutation that changes configuration, credentials, or people belongs in AUDITED, others in NOT_AUDITED."""
    mutations = make_schema()._schema.mutation_type
    assert mutations
    assert not AUDITED & NOT_AUDITED.keys()
    assert mutations.fields.keys() == AUDITED | NOT_AUDITED.keys()


class Session:
    """A random session of two administrators. `expected`: the entries that the log must have, oldest first.

    Each method is named after its mutation."""

    def __init__(self, tenant: Tenant, database: Database, random: Random) -> None:
        self.tenant = tenant
        self.database = database
        self.random = random
        self.expected: list[tuple[str, str, str | None, str]] = []
        self.secrets: list[str] = []
        self.webhooks: list[str] = []
        self.keys: list[str] = []
        self.count = 0

    async def run(self, action: str) -> None:
        self.count += 1
        await getattr(self, re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", action))()

    async def call(self, action: str, target: str | None, query: str, **variables: Any) -> Any:
        """Execute a mutation that must have one entry, and return its result."""
        admin, request_id = self.random.choice(ADMINS), f"request-{self.count}"
        data = await execute_as(self.tenant, admin, query, request_id, **variables)
        [result] = data.values()
        if action in ("createWebhook", "createServiceKey"):
            target = (result.get("endpoint") or result["key"])["id"]
        self.expected.append((admin, action, target, request_id))
        return result

    async def upsert_category(self) -> None:
        fields = {"key": "news", "name": f"News {self.count}", "defaultChannels": ["IN_APP"]}
        await self.call("upsertCategory", "news", UPSERT_CATEGORY, i=fields)

    async def delete_category(self) -> None:
        fields: Json = {"key": f"c{self.count}", "name": "Short", "defaultChannels": ["EMAIL"]}
        await self.call("upsertCategory", fields["key"], UPSERT_CATEGORY, i=fields)
        assert await self.call("deleteCategory", fields["key"], DELETE_CATEGORY, key=fields["key"])

    async def update_tenant(self) -> None:
        await self.call("updateTenant", self.tenant.name, UPDATE_TENANT, i={"name": f"Acme {self.count}"})

    async def upsert_template(self) -> None:
        fields: Json = {"key": "order", "title": "Order", "body": f"Text {self.count}"}
        await self.call("upsertTemplate", "order", template_calls.UPSERT, input=fields)

    async def revert_template(self) -> None:
        await self.upsert_template()
        current = (await template_calls.get(self.tenant))["version"]
        self.count += 1
        await self.upsert_template()
        await self.call("revertTemplate", "order", template_calls.REVERT, key="order", version=current)

    async def delete_template(self) -> None:
        await self.upsert_template()
        await self.call("deleteTemplate", "order", template_calls.DELETE_ALL_CHANNELS, key="order")

    async def upsert_topic(self) -> None:
        fields = {"key": "releases", "name": f"Releases {self.count}"}
        await self.call("upsertTopic", "releases", topic_calls.UPSERT, input=fields)

    async def subscribe_to_topic(self) -> None:
        await self.call("subscribeToTopic", "releases", topic_calls.SUBSCRIBE, t="releases", u=[f"u{self.count}"])

    async def unsubscribe_from_topic(self) -> None:
        await self.subscribe_to_topic()
        users = [f"u{self.count}"]
        await self.call("unsubscribeFromTopic", "releases", topic_calls.UNSUBSCRIBE, t="releases", u=users)

    async def create_webhook(self) -> None:
        url = f"https://hooks.example/secret-path-{self.count}?token=secret-query-{self.count}"
        if len(self.webhooks) > 10:
            await self.delete_webhook()
        created = await self.call("createWebhook", None, webhook_data.CREATE, input={"url": url})
        self.secrets.append(created["secret"])
        self.webhooks.append(created["endpoint"]["id"])

    async def _any_webhook(self) -> str:
        if not self.webhooks:
            await self.create_webhook()
        return self.random.choice(self.webhooks)

    async def update_webhook(self) -> None:
        id, url = await self._any_webhook(), f"https://other.example/secret-path-{self.count}"
        await self.call("updateWebhook", id, webhook_data.UPDATE, id=id, url=url)

    async def rotate_webhook_secret(self) -> None:
        id = await self._any_webhook()
        self.secrets.append((await self.call("rotateWebhookSecret", id, webhook_data.ROTATE, id=id))["secret"])

    async def delete_webhook(self) -> None:
        id = await self._any_webhook()
        self.webhooks.remove(id)
        await self.call("deleteWebhook", id, webhook_data.DELETE, id=id)

    async def create_service_key(self) -> None:
        created = await self.call("createServiceKey", None, CREATE_KEY, i={"name": f"Shop {self.count}"})
        self.secrets.append(created["secret"])
        self.keys.append(created["key"]["id"])

    async def revoke_service_key(self) -> None:
        await self.create_service_key()
        id = self.keys.pop()
        await self.call("revokeServiceKey", id, REVOKE_KEY, id=id)

    async def upsert_rule(self) -> None:
        content = {"title": "T", "body": f"Text {self.count}"}
        fields = {"key": "r", "type": "order.paid", "to": {"everyone": True}, "category": "news", "content": content}
        await self.call("upsertRule", "r", UPSERT_RULE, i=fields)

    async def delete_rule(self) -> None:
        await self.upsert_rule()
        await self.call("deleteRule", "r", DELETE_RULE, key="r")

    async def upsert_users(self) -> None:
        fields = {"id": f"p{self.count}", "email": f"private{self.count}@people.example"}
        await self.call("upsertUsers", fields["id"], UPSERT_USERS, u=[fields])

    async def export_user(self) -> None:
        await self.upsert_users()
        await self.call("exportUser", f"p{self.count}", EXPORT_USER, id=f"p{self.count}")

    async def lift_suppression(self) -> None:
        await self.upsert_users()
        id, address = f"p{self.count}", f"private{self.count}@people.example"
        suppressed = {"$set": {"suppressed": {address: "bounced"}}}
        await self.database.users.update_one({"_id": mailbox_of(self.tenant.name, id)}, suppressed)
        assert await self.call("liftSuppression", id, LIFT, id=id, a=address)

    async def delete_user(self) -> None:
        await self.upsert_users()
        await self.call("deleteUser", f"p{self.count}", DELETE_USER, id=f"p{self.count}")


async def test_log_has_every_change_of_a_random_session_in_order(
    tenant: Tenant, database: Database, deployment: Deployment
) -> None:
    """Over two processes, with no secret in the log or in a line."""
    random = Random(7)
    session = Session(tenant, database, random)
    actions = [*sorted(AUDITED), *random.choices(sorted(AUDITED), k=scaled(20, 500))]
    random.shuffle(actions)
    for action in actions:
        await session.run(action)

    entries = await audit_log(tenant, page_size=7)
    erased = {target for _, action, target, _ in session.expected if action == "deleteUser"}
    pseudonyms = [entry["target"] for entry in entries if entry["action"] == "deleteUser"]
    assert len(set(pseudonyms)) == len(erased) == len(pseudonyms)
    replaced = dict(zip([t for _, a, t, _ in session.expected if a == "deleteUser"], pseudonyms, strict=True))
    expected = [(actor, action, replaced.get(target, target), id) for actor, action, target, id in session.expected]
    assert [(e["actor"], e["action"], e["target"], e["requestId"]) for e in entries] == expected
    assert {entry["action"] for entry in entries} == AUDITED
    assert [entry["id"] for entry in entries] == sorted(entry["id"] for entry in entries)

    lines = log_lines(*deployment.apis, event="audit", tenant=tenant.name)
    by_entry = {line["entry"]: line for line in lines}
    assert len(lines) == len(entries)
    for entry in entries:
        line = by_entry[entry["id"]]
        assert (line["actor"], line["action"], line["request_id"]) == (
            entry["actor"],
            entry["action"],
            entry["requestId"],
        )
        assert line["changes"] == entry["changes"]
    texts = [
        json.dumps(entries),
        json.dumps(lines),
        repr(await database.audit_log.find({"tenant": tenant.name}).to_list()),
    ]
    for text in texts:
        assert not [one for one in [*session.secrets, "secret-path", "secret-query"] if one in text]
        assert "private" not in text
    assert not [target for target in erased if f'"{target}"' in texts[0]]


async def test_entries_of_concurrent_changes_are_in_the_order_of_the_changes(tenant: Tenant) -> None:
    """Each change begins with what the change before it wrote, although two processes make them."""

    async def rename(n: int) -> None:
        fields = {"key": "news", "name": f"Name {n}", "defaultChannels": ["IN_APP"]}
        await execute_as(tenant, "ann", UPSERT_CATEGORY, i=fields)

    await asyncio.gather(*map(rename, range(scaled(30, 300))))
    names = [entry["changes"]["name"] for entry in await audit_log(tenant, action="upsertCategory")]
    assert len(names) == scaled(30, 300)
    assert [name.get("before") for name in names] == [None, *(name["after"] for name in names[:-1])]


async def test_only_changes_are_recorded(tenant: Tenant) -> None:
    fields = {"key": "news", "name": "News", "defaultChannels": ["IN_APP"]}
    ann = {"id": "ann", "name": "Ann", "attributes": {"n": 1}}
    for _ in range(2):
        await execute_as(tenant, "ben", UPSERT_CATEGORY, i=fields)
        await execute_as(tenant, "ben", UPSERT_USERS, u=[ann, {"id": "eve"}])
    await execute_as(tenant, "ben", UPSERT_CATEGORY, i=fields | {"priority": "HIGH"})
    await execute_as(tenant, "ben", UPSERT_USERS, u=[ann | {"name": None, "attributes": {"n": True}}, {"id": "eve"}])
    await execute_as(tenant, "ben", DELETE_CATEGORY, key="other")
    await execute_as(tenant, "ben", webhook_data.DELETE, id="other")
    entries = [(e["action"], e["target"], e["changes"]) for e in await audit_log(tenant)]
    assert entries[1:3] == [
        ("upsertUsers", "ann", {"fields": ["attributes", "id", "name"]}),
        ("upsertUsers", "eve", {"fields": ["id"]}),
    ]
    assert entries[3:] == [
        ("upsertCategory", "news", {"priority": {"before": "MEDIUM", "after": "HIGH"}}),
        ("upsertUsers", "ann", {"fields": ["attributes", "name"]}),
    ]


async def test_entries_are_filtered_and_belong_to_one_tenant(tenant: Tenant, deployment: Deployment) -> None:
    for admin, name in [("ann", "One"), ("ben", "Two"), ("ann", "Three")]:
        await execute_as(tenant, admin, UPDATE_TENANT, i={"name": name})
    await execute_as(tenant, "ann", UPSERT_USERS, u=[{"id": "eve", "name": "Eve"}])
    entries = await audit_log(tenant)
    assert [e["actor"] for e in entries] == ["ann", "ben", "ann", "ann"]
    assert await audit_log(tenant, actor="ben") == entries[1:2]
    assert await audit_log(tenant, action="upsertUsers") == await audit_log(tenant, target="eve") == entries[3:]
    assert await audit_log(tenant, actor="ann", action="updateTenant") == [entries[0], entries[2]]
    assert await audit_log(tenant, since=entries[1]["at"], until=entries[3]["at"]) == entries[1:3]
    options = ["--tenant", tenant.name, "--url", base_url(deployment)]
    listed = run_command("audit", "--actor", "ann", "--since", "PT1H", "--limit", "2", *options, jwt_secret=SECRET)
    assert listed.stdout.splitlines() == [
        f"{entry['at']}  ann  {entry['action']}  {entry['target']}  {json.dumps(entry['changes'], separators=(',', ':'))}"
        for entry in (entries[3], entries[2])
    ], listed.stderr
    for headers in ({}, {"authorization": f"Bearer {tenant.token('ann')}"}):
        response = await tenant.execute_raw(LOG, headers=headers)
        assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    with pytest.raises(GraphQLErrors, match="not a cursor"):
        await tenant.execute_as_admin(LOG, a="x")
    async with Tenant(f"{tenant.name}x", deployment.urls) as other:
        assert await audit_log(other) == []


async def test_erased_user_is_an_hmac_as_actor_and_as_target(tenant: Tenant) -> None:
    await execute_as(tenant, "ann", UPSERT_USERS, u=[{"id": "ann", "name": "Ann"}, {"id": "ben"}])
    await execute_as(tenant, "ann", topic_calls.UPSERT, input={"key": "ann"})
    exported = (await execute_as(tenant, "ann", EXPORT_USER, id="ann"))["exportUser"]
    assert [entry["action"] for entry in exported["auditLog"]] == ["exportUser", "upsertTopic", *["upsertUsers"] * 2]
    await execute_as(tenant, "ann", DELETE_USER, id="ann")
    entries = await audit_log(tenant)
    names = Counter(entry["actor"] for entry in entries)
    [erased] = names
    assert erased.startswith("erased:")
    assert [(e["action"], e["target"]) for e in entries] == [
        ("upsertUsers", erased),
        ("upsertUsers", "ben"),
        ("upsertTopic", "ann"),  # the key of a topic, not a user
        ("exportUser", erased),
        ("deleteUser", erased),
    ]


async def test_erasure_keeps_actors_that_are_no_persons(tenant: Tenant) -> None:
    """A user may have the id of a role or of a service key."""
    for id in ("admin", "key:1"):
        await execute_as(tenant, id, UPSERT_USERS, u=[{"id": "ben", "name": id}])
        await execute_as(tenant, "ann", DELETE_USER, id=id)
    names = [entry["actor"] for entry in await audit_log(tenant) if entry["action"] == "upsertUsers"]
    assert names == ["admin", "key:1"]


async def test_entry_of_a_command_names_the_account(tenant: Tenant, database: Database) -> None:
    await record_command(database, [tenant.name], "keys rotate", {"changed": 2})
    [entry] = await audit_log(tenant)
    assert (entry["actor"], entry["action"], entry["target"]) == (f"cli:{getpass.getuser()}", "keys rotate", None)
    assert entry["changes"] == {"changed": 2}


async def test_change_that_is_not_committed_has_no_entry_and_no_log_line(
    tenant: Tenant, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditedAction(AuditLog(database), tenant.name, "ann", "any")

    async def record_and_fail(session: AsyncClientSession) -> None:
        await audit.record({"name": {"after": "News"}}, session)
        raise Unavailable("MongoDB does not respond.")

    with pytest.raises(Unavailable):
        await try_transaction(database, record_and_fail, audit)
    assert await audit_log(tenant) == []
    assert "any" not in capsys.readouterr().out


class UnavailableLog(AuditLog):
    async def now(self) -> datetime:
        raise Unavailable("MongoDB does not respond.")


async def test_change_whose_entry_cannot_be_written_is_not_made(tenant: Tenant, database: Database) -> None:
    """Of each kind of write: with a transaction, and with the entry first."""
    settings = Settings(jwt_secret=(SECRET,))
    audit = AuditedAction(UnavailableLog(database), tenant.name, "ann", "any")
    tenants, users = Tenants(database, 10, 5), Users(database, hub_now, 5, SearchFields(()))
    topics = Topics(database, users, hub_now, settings)
    endpoints = Endpoints(database, settings, hub_now, Encryption([]))
    id = mailbox_of(tenant.name, "ann")
    for change in (
        tenants.upsert_category(tenant.name, Category(key="news", name="News"), audit),
        topics.upsert(f"{tenant.name}/news", "News", None, visible=True, audit=audit),
        topics.subscribe(f"{tenant.name}/news", [id], force=False, audit=audit),
        endpoints.create(tenant.name, "https://hooks.example/in", [], audit),
        users.upsert([ProfileUpdate(id=id, name="Ann")], audit),
    ):
        with pytest.raises(Unavailable):
            await change
    named = re.compile(f"^{tenant.name}")
    for name in ("tenants", "users", "tenant_topics", "topic_subscriptions"):
        assert await database[name].find({"$or": [{"_id": named}, {"mailbox": named}]}).to_list() == []


def test_changes_are_limited_in_size_and_contain_no_secret() -> None:
    before = Category(key="k", name="n", description="x" * MAX_BYTES)
    changes = set_up_changes(before, Category(key="k", name="other"))
    assert orjson.loads(encoded(changes)) == {
        "description": {"bytes": len(orjson.dumps(changes["description"]))},
        "name": {"before": "n", "after": "other"},
    }
    many: Json = {f"field {n}": n for n in range(5000)}
    assert len(encoded(many)) <= MAX_BYTES
