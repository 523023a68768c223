"""The audit log."""

import asyncio
import getpass
import json
from collections import Counter
from random import Random

import orjson
import pytest
from pymongo.asynchronous.client_session import AsyncClientSession

from hub.api.schema.audit import AUDITED, NOT_AUDITED
from hub.api.schema.root import make_schema
from hub.audience.optimistic_update import try_transaction
from hub.errors import Unavailable
from hub.model import Category
from hub.platform.audit import AuditedAction, AuditLog, record_command
from hub.platform.audit_changes import MAX_BYTES, encoded, set_up_changes
from hub.platform.connections import Database
from tests import webhook_data
from tests.audit_calls import LOG, audit_log, execute_as
from tests.audit_session import (
    DELETE_CATEGORY,
    DELETE_USER,
    EXPORT_USER,
    UPDATE_TENANT,
    UPSERT_CATEGORY,
    UPSERT_RULE,
    UPSERT_USERS,
    EntryRefused,
    RefusedSession,
    Session,
)
from tests.cli_commands import base_url, run_command
from tests.client import GraphQLErrors, Json, Tenant
from tests.conftest import scaled
from tests.processes import SECRET, Deployment
from tests.telemetry import log_lines
from tests.topics import calls as topic_calls


def test_every_mutation_is_audited_or_says_why_not() -> None:
    """A new mutation that changes configuration, credentials, or people belongs in AUDITED, others in NOT_AUDITED."""
    mutations = make_schema()._schema.mutation_type
    assert mutations
    assert not AUDITED & NOT_AUDITED.keys()
    assert mutations.fields.keys() == AUDITED | NOT_AUDITED.keys()


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
    rule = {
        "key": "r",
        "type": "t",
        "to": {"everyone": True},
        "category": "news",
        "content": {"title": "T", "body": ""},
    }
    for author in (None, "data.author"):
        await execute_as(tenant, "ben", UPSERT_RULE, i=rule | {"except": author})
    entries = [(e["action"], e["target"], e["changes"]) for e in await audit_log(tenant)]
    assert entries[1:3] == [
        ("upsertUsers", "ann", {"fields": ["attributes", "id", "name"]}),
        ("upsertUsers", "eve", {"fields": ["id"]}),
    ]
    assert entries[3:] == [
        ("upsertCategory", "news", {"priority": {"before": "MEDIUM", "after": "HIGH"}}),
        ("upsertUsers", "ann", {"fields": ["attributes", "name"]}),
        entries[-2],
        ("upsertRule", "r", {"except": {"before": None, "after": "data.author"}}),
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


async def test_no_change_is_made_whose_entry_cannot_be_written(tenant: Tenant, database: Database) -> None:
    session = RefusedSession(tenant, database, Random(7))
    await session.upsert_topic()
    await session.rotate_enrichment_secret()  # otherwise, the first category with enrichment creates a secret before
    try:
        for action in sorted(AUDITED):
            await session.refuse(action)
            with pytest.raises(EntryRefused):
                await session.run(action)
    finally:
        await session.refuse("")


def test_changes_are_limited_in_size_and_contain_no_secret() -> None:
    before = Category(key="k", name="n", description="x" * MAX_BYTES)
    changes = set_up_changes(before, Category(key="k", name="other"))
    assert orjson.loads(encoded(changes)) == {
        "description": {"bytes": len(orjson.dumps(changes["description"]))},
        "name": {"before": "n", "after": "other"},
    }
    many: Json = {f"field {n}": n for n in range(5000)}
    assert len(encoded(many)) <= MAX_BYTES
