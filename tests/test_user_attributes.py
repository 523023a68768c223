"""Attributes of users: what the hub stores, refuses, and converts from older data."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub.audience.search_fields import SearchFields
from hub.audience.users import ProfileUpdate, Users
from hub.model import mailbox_of
from hub.platform.audit import AuditedAction, AuditLog
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.utc_time import now
from tests.cli_commands import run_command
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.processes import SECRET, Deployment
from tests.template_sends import send_template, store_template
from tests.test_exact_values import post

UPSERT = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { attributes } }"
USER = "query ($id: ID!) { user(id: $id) { email attributes } }"


async def upsert(tenant: Tenant, id: str, **fields: Any) -> None:
    await tenant.execute(UPSERT, users=[{"id": id, **fields}])


async def attributes_of(tenant: Tenant, id: str) -> Any:
    return (await tenant.execute(USER, id=id))["user"]["attributes"]


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({"a.b": 1}, ".a.b"),
        ({"a": [{"$set": 1}]}, ".a.0.$set"),
        ({"a": {"b\0": 1}}, ".a.b\0"),
        ({"a": {"b": 2**63}}, ".a.b"),
        ({"a": [-(2**63) - 1]}, ""),
        (["a"], ""),
        ("a", ""),
        ({"a": json.loads("[" * 20 + "]" * 20)}, ".a" + ".0" * 19),
    ],
)
async def test_attributes_that_cannot_be_filtered_are_refused_with_their_path(
    tenant: Tenant, attributes: object, path: str
) -> None:
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute(UPSERT, users=[{"id": "bob"}, {"id": "alice", "attributes": attributes}])
    expected = {"code": "BAD_USER_INPUT", "field": f"users.1.attributes{path}"}
    assert refused.value.errors[0]["extensions"] == expected
    assert (await tenant.execute(USER, id="bob"))["user"] is None


async def test_numbers_of_attributes_are_returned_exactly(tenant: Tenant) -> None:
    numbers = '{"a":9223372036854775807,"b":-9223372036854775808,"c":1.5,"d":0.1,"e":1e+300,"f":5,"g":true,"h":1.0}'
    response = await post(tenant, UPSERT, f'{{"users": [{{"id": "alice", "attributes": {numbers}}}]}}')
    returned = response["data"]["upsertUsers"][0]["attributes"]
    assert returned == json.loads(numbers, parse_float=type(returned["c"]))
    assert [type(value) for value in returned.values()].count(int) == 3


async def test_profile_is_stored_with_its_search_fields(tenant: Tenant, database: Database) -> None:
    async def stored() -> Json:
        doc = await database.users.find_one({"_id": f"{tenant.name}/alice"})
        assert doc
        return {name: doc.get(name) for name in ("tenant", "email_lower", "name_folded", "attributes")}

    await upsert(tenant, "alice", email="Alice@Example.org", name="Ålice STRASSE", attributes={"plan": "pro"})
    first = {"tenant": tenant.name, "email_lower": "alice@example.org", "attributes": {"plan": "pro"}}
    assert await stored() == first | {"name_folded": "ålice strasse"}
    await upsert(tenant, "alice", timezone="Europe/Berlin")
    assert await stored() == first | {"name_folded": "ålice strasse"}
    await upsert(tenant, "alice", email=None, name=None, attributes=None)
    assert await stored() == {"tenant": tenant.name, "email_lower": None, "name_folded": None, "attributes": None}
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    assert set(exported["profile"]) == {"createdAt", "updatedAt", "timezone"}


@asynccontextmanager
async def worker(
    servers: tuple[Mongod, Redis], database: str, indexed_attributes: str, workers: int = 1
) -> AsyncIterator[Deployment]:
    mongod, redis = servers
    own = {"mongo_database": database, "redis_prefix": f"{database}:", "scheduler_interval_s": "0.05"}
    settings = {**own, "indexed_attributes": indexed_attributes}
    async with Deployment(mongod.url, redis.url, apis=1, workers=workers, **settings) as running:
        yield running


async def test_repeated_profiles_of_a_new_user_are_merged(tenant: Tenant) -> None:
    upsert = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id name email locale } }"
    fields = {"name": "Eve", "email": "eve@people.example", "locale": "de"}
    repeated = [{"id": "eve", name: value} for name, value in fields.items()]
    assert (await tenant.execute(upsert, users=repeated))["upsertUsers"] == [{"id": "eve", **fields}] * 3


@pytest.mark.parametrize("created_again", [False, True])
async def test_user_who_is_erased_during_a_call_has_all_its_fields(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, created_again: bool
) -> None:
    tenant = f"t{uuid4().hex[:12]}"
    users, rival = (Users(database, hub_now, 5, SearchFields(())) for _ in range(2))
    ann, ben, cid = (mailbox_of(tenant, user) for user in ("ann", "ben", "cid"))
    await users.upsert([ProfileUpdate(id=id, name="Name", email="old@people.example") for id in (ann, ben, cid)], None)
    kept = await rival.get(cid)
    read_stored = users._stored_profiles

    async def read_and_be_overtaken(*wanted: Collection[str]) -> dict[str, Json]:
        found = await read_stored(*wanted)
        await database.users.delete_many({"_id": {"$in": [ann, ben]}})
        if created_again:
            await rival.upsert([ProfileUpdate(id=id, locale="de") for id in (ann, ben)], None)
        return found

    monkeypatch.setattr(users, "_stored_profiles", read_and_be_overtaken)
    changed = ProfileUpdate(id=ann, name="Name", email="new@people.example")
    unchanged = [ProfileUpdate(id=id, name="Name", email="old@people.example") for id in (ben, cid)]
    audit = AuditedAction(AuditLog(database), tenant, "key:1", "upsertUsers")
    upserted = await users.upsert([changed, *unchanged], audit)
    stored = await rival.get_many([ann, ben, cid])
    assert upserted == [stored[ann], stored[ben], kept]
    assert [(user.name, user.email) for user in upserted[:2]] == [(p.name, p.email) for p in (changed, unchanged[0])]
    assert {user.locale for user in upserted[:2]} == ({"de"} if created_again else {None})
    entries = await database.audit_log.find({"tenant": tenant}).sort("_id").to_list()
    whole = {"fields": ["email", "id", "name"]}
    assert [(one["target"], json.loads(one["changes"])) for one in entries] == [
        ("ann", {"fields": ["email"]}),
        ("ann", whole),
        ("ben", whole),
    ]


async def test_user_who_is_created_by_two_calls_at_once_has_the_fields_of_both(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = f"t{uuid4().hex[:12]}"
    users, rival = (Users(database, hub_now, 5, SearchFields(())) for _ in range(2))
    ids = [mailbox_of(tenant, user) for user in ("ann", "bob")]
    read_stored = users._stored_profiles

    async def read_and_be_overtaken(*wanted: Collection[str]) -> dict[str, Json]:
        found = await read_stored(*wanted)
        await rival.upsert([ProfileUpdate(id=ids[0], email="ann@people.example")], None)
        return found

    monkeypatch.setattr(users, "_stored_profiles", read_and_be_overtaken)
    upserted = await users.upsert([ProfileUpdate(id=id, name="Ann or Bob") for id in ids], None)
    stored = await rival.get_many(ids)
    assert [stored[id] for id in ids] == upserted
    assert [(user.name, user.email) for user in upserted] == [
        ("Ann or Bob", "ann@people.example"),
        ("Ann or Bob", None),
    ]


async def test_changed_setting_converts_stored_users(servers: tuple[Mongod, Redis]) -> None:
    name = f"indexed{uuid4().hex[:8]}"
    values = {"plan": "pro", "seats": 3, "tags": ["a", "b"], "team": {"x": None}, "none": None}
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        users = client[name].users

        async def indexed(id: str) -> Any:
            return (await users.find_one({"_id": f"acme/{id}"}) or {}).get("indexed")

        async with worker(servers, name, "seats, tags plan none") as running, Tenant("acme", running.urls) as tenant:
            await upsert(tenant, "alice", attributes=values)
            await tenant.send("bob")
            pairs = [{"k": k, "v": values[k]} for k in ("none", "plan", "seats", "tags")]
            assert await indexed("alice") == pairs
            match = {"tenant": "acme", "indexed": {"$elemMatch": {"k": "tags", "v": "b"}}}
            explained = await users.find(match).explain()
            assert explained["queryPlanner"]["winningPlan"]["inputStage"]["indexName"] == "indexed"
            assert await users.count_documents(match) == 1
            versions = await users.distinct("search_version")
            assert len(versions) == 1
        async with worker(servers, name, "team") as running, Tenant("acme", running.urls) as tenant:

            async def converted() -> bool:
                return not await users.count_documents({"search_version": {"$in": [*versions, None]}})

            await eventually(converted)
            assert await indexed("alice") == [{"k": "team", "v": {"x": None}}]
            old = worker(servers, name, "seats, tags plan none", workers=0)
            async with old as outdated, Tenant("acme", outdated.urls) as tenant_there:
                await upsert(tenant_there, "alice", attributes={"team": "b", "plan": "free"})

                async def corrected() -> bool:
                    return await indexed("alice") == [{"k": "team", "v": "b"}]

                await eventually(corrected)
                await upsert(tenant_there, "carol", attributes={"team": "c"})
                await eventually(converted)
                assert await indexed("carol") == [{"k": "team", "v": "c"}]
        await client.drop_database(name)


async def test_texts_of_an_older_version_are_readable_and_converted_in_slices(servers: tuple[Mongod, Redis]) -> None:
    """Templates, queries, and exports read both forms. What the hub no longer accepts stays text and readable."""
    name, count = f"texts{uuid4().hex[:8]}", scaled(1500, 20_000)
    refused = {"odd": '{"a.b":1}', "big": '{"n":18446744073709551615}', "list": "[1]"}
    texts = {f"u{n}": f'{{"plan":"p{n}","n":{2**40 + n}}}' for n in range(count)} | refused
    mongod, redis = servers
    own = {"mongo_database": name, "redis_prefix": f"{name}:", "scheduler_interval_s": "0.05"}
    async with AsyncMongoClient(mongod.url, tz_aware=True) as client:
        users = client[name].users
        docs = [
            {"_id": f"acme/{id}", "created_at": now(), "updated_at": now(), "email": f"{id}@X.org", "attributes": text}
            for id, text in texts.items()
        ]
        await client[name].migrations.insert_one({"_id": "schema", "major": 3})
        await users.insert_many(docs)
        migrated = run_command("migrate", mongo_url=mongod.url, jwt_secret=SECRET, mongo_database=name)
        assert "Building users." in migrated.stdout, "users are stored"

        async def check(tenant: Tenant, key: str) -> None:
            for id in ("u0", "odd", "big"):
                assert await attributes_of(tenant, id) == json.loads(texts[id])
                export = "mutation ($id: ID!) { exportUser(id: $id) }"
                exported = (await tenant.execute_as_admin(export, id=id))["exportUser"]
                assert exported["profile"]["attributes"] == json.loads(texts[id])
            await send_template(tenant, "u0", key=key)
            assert [n["title"] for n in (await tenant.inbox("u0"))["nodes"]][:1] == ["Plan p0"]

        async def done() -> bool:
            return not await users.count_documents({"search_version": None})

        api = Deployment(mongod.url, redis.url, apis=1, workers=0, **own)
        async with api as running, Tenant("acme", running.urls) as tenant:
            await store_template(tenant, "plan", title="Plan {{ user.attributes.plan }}", body="")
            await check(tenant, "plan")
            assert await users.count_documents({"attributes": {"$type": "string"}}) == len(texts)
            async with Deployment(mongod.url, redis.url, apis=1, workers=2, **own):
                await eventually(done, 60)
                await check(tenant, "plan")
        texts_left = await users.find({"attributes": {"$type": "string"}}).to_list()
        assert {doc["_id"].removeprefix("acme/"): doc["attributes"] for doc in texts_left} == refused
        last = await users.find_one({"_id": f"acme/u{count - 1}"})
        assert last
        assert last["attributes"] == {"plan": f"p{count - 1}", "n": 2**40 + count - 1}
        assert (last["email_lower"], last["tenant"]) == (f"u{count - 1}@x.org", "acme")
        assert (await client[name].migrations.find_one({"_id": "schema"}))["major"] == 4  # type: ignore[index]
        await client.drop_database(name)
