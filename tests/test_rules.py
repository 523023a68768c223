"""Rules: stored through the API, and run by a worker for events."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from graphql import GraphQLInputObjectType, build_schema, get_named_type

from hub.audience.rules import TENANT_MAX_RULES
from hub.decide.rules.matching import EVENT_MAX_RULES
from hub.model import Role
from hub.platform.connections import Database
from hub.status.sends import COLLECTION as SENDS
from hub.utc_time import parse
from hub.workflows.start_expansion import EXPANSIONS_MAX
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.rule_calls import (
    DELETE_RULE,
    GET_RULE,
    RULES,
    TEST_RULE,
    UPSERT_RULE,
    publish,
    replay,
    results,
    rule_input,
    run,
    upsert_rule,
)
from tests.template_calls import error, upsert
from tests.topics.calls import subscribe

EVERY_FIELD: Json = {
    "key": "every/field",
    "name": "Every field",
    "enabled": False,
    "type": "hub.delivery.*",
    "source": "https://hub.example.com",
    "condition": "data.n > `1`",
    "to": {"where": {"attributes.plan": {"in": ["pro", None]}}},
    "category": "alerts",
    "content": {
        "title": "{{ event.type }}",
        "body": "**{{ data.n }}**",
        "actionUrl": "/{{ event.id }}",
        "imageUrl": "https://example.com/a.png",
        "actions": [{"key": "open", "label": "Open", "url": "/{{ event.id }}", "primary": True}],
        "markdown": True,
    },
    "data": "{n: data.n}",
    "priority": "HIGH",
    "collapseKey": "{{ event.subject }}",
    "channels": ["IN_APP", "EMAIL"],
    "steps": [{"channels": ["EMAIL"], "after": "PT10M", "unless": "NEVER"}],
    "digest": {"key": "subject", "window": "PT1H"},
    "tags": ["a", "b"],
    "requireAck": True,
    "after": "PT5M",
    "expiresIn": "P1D",
    "except": "data.author",
}
OTHER_RECIPIENTS = [{"users": "data.id"}, {"topic": "'releases'"}, {"everyone": True}]


async def find_send(database: Database, result: Json) -> Json:
    """Return the stored send of a result."""
    [send] = await database[SENDS].find({"_id": result["send"]["id"]}).to_list()
    return send


async def test_every_field_is_written_read_and_compared_by_name(tenant: Tenant) -> None:
    with open("schema.graphql", encoding="utf-8") as file:  # noqa: PTH123, ASYNC230 - a small file
        schema = build_schema(file.read())
    names = schema.type_map["RuleInput"]
    assert isinstance(names, GraphQLInputObjectType)
    assert set(EVERY_FIELD) | {"template"} == set(names.fields)
    for name, value in (("content", EVERY_FIELD["content"]), ("digest", EVERY_FIELD["digest"])):
        inner = get_named_type(names.fields[name].type)
        assert isinstance(inner, GraphQLInputObjectType)
        assert set(value) == set(inner.fields)
    stored = (await tenant.execute_as_admin(UPSERT_RULE, input=EVERY_FIELD))["upsertRule"]
    read = (await tenant.execute(GET_RULE, key="every/field"))["rule"]
    assert read == stored
    read.pop("updatedAt")
    read["to"] = {name: value for name, value in read["to"].items() if value is not None}
    assert read.pop("template") is None
    assert read == EVERY_FIELD
    for to in OTHER_RECIPIENTS:
        changed = await upsert_rule(tenant, to=to, content=None, template="order")
        assert {name: value for name, value in changed["to"].items() if value is not None} == to
        assert (changed["template"], changed["content"], changed["enabled"]) == ("order", None, True)
    assert [one["key"] for one in (await tenant.execute(RULES))["rules"]] == ["every/field", "shipped"]


@pytest.mark.parametrize("role", [Role.USER, Role.SERVICE])
async def test_changes_require_the_admin_role_and_reading_the_service_role(tenant: Tenant, role: Role) -> None:
    headers = {"authorization": f"Bearer {tenant.token('alice' if role is Role.USER else None, role=role)}"}
    changes: list[tuple[str, Json]] = [(UPSERT_RULE, {"input": rule_input()}), (DELETE_RULE, {"key": "a"})]
    reads: list[tuple[str, Json]] = [
        (RULES, {}),
        (GET_RULE, {"key": "a"}),
        (TEST_RULE, {"input": rule_input(), "event": {"type": "a"}}),
    ]
    for query, variables in changes:
        response = await tenant.execute_raw(query, headers=headers, **variables)
        assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for query, variables in reads:
        response = await tenant.execute_raw(query, headers=headers, **variables)
        assert ("errors" in response) == (role is Role.USER)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"condition": "data."}, "condition", "not a JMESPath expression"),
        ({"condition": "a.b[*].c[*].[d]"}, "condition", "two projections"),
        ({"condition": "[`1`]|" + "|".join(["[@, @]"] * 20)}, "condition", "400,000"),
        ({"to": {"users": "f(a)"}}, "to.users", "f() does not exist"),
        ({"to": {"everyone": False}}, "to.everyone", "must be true"),
        ({"to": {"users": "a", "topic": "b"}}, "to", "exactly one"),
        ({"to": {"where": {"nothing": 1}}}, "to.where.nothing", ""),
        ({"except": "["}, "except", "incomplete"),
        ({"template": "order"}, "content", "either"),
        ({"content": None}, "content", "either"),
        ({"content": None, "template": "_digest"}, "template", "underscore"),
        ({"content": {"title": "{{ user.name }}", "body": ""}}, "content", "Use a template"),
        ({"content": {"title": "{% nope %}", "body": ""}}, "content.title", "nope"),
        ({"content": {"title": " ", "body": ""}}, "content.title", "visible"),
        ({"collapseKey": "{{ a"}, "collapseKey", ""),
        ({"type": "shop.*.shipped"}, "type", "prefix"),
        ({"type": "*"}, "type", "prefix"),
        ({"type": ".*"}, "type", "prefix"),
        ({"type": "hub.delivery.failed"}, "source", "must name their `source`"),
        ({"type": "hub.*"}, "source", "must name their `source`"),
        ({"channels": []}, "channels", "at least one"),
        ({"expiresIn": "PT0S"}, "expiresIn", "longer than zero"),
        ({"after": "P500D"}, "after", "P400D"),
        ({"digest": {"key": "a", "window": "PT1S"}}, "digest.window", "PT10S"),
        ({"steps": [{"channels": ["EMAIL"], "unless": "ACKNOWLEDGED"}]}, "steps.0.unless", "requireAck"),
    ],
)
async def test_rule_that_is_not_valid_is_not_stored(tenant: Tenant, changes: Json, field: str, message: str) -> None:
    code, at, text = await error(upsert_rule(tenant, **changes))
    assert (code, at) == ("BAD_USER_INPUT", f"input.{field}")
    assert message in text
    assert (await tenant.execute(RULES))["rules"] == []


async def test_event_makes_the_send_that_a_rule_describes(tenant: Tenant, database: Database) -> None:
    await upsert(tenant, "shipped", title="Order {{ data.n }} of {{ user.id }}", body="{{ data.note }}")
    await upsert_rule(
        tenant,
        content=None,
        template="shipped",
        condition="data.total >= `10`",
        to={"users": "data.people[*].id"},
        data="{n: data.order, note: data.note}",
        priority="HIGH",
        collapseKey="order-{{ event.data.order }}",
        channels=["IN_APP", "EMAIL"],
        steps=[{"channels": ["EMAIL"], "after": "PT10M", "unless": "NEVER"}],
        tags=["orders"],
        requireAck=True,
        expiresIn="P1D",
        **{"except": "data.author"},
    )
    people = [{"id": id} for id in ("alice", "bob", "carol")]
    data = {"people": people, "order": 7, "note": "On its way", "total": 12.5, "author": "carol"}
    result = (await run(tenant, data))["shipped"]
    assert (result["matched"], result["reason"]) == (True, None)
    sent = await find_send(database, result)
    assert (sent["recipients"], sent["category"], sent["template"]) == (2, "orders", "shipped")
    [shown] = (await tenant.inbox("bob"))["nodes"]
    assert (shown["title"], shown["body"]) == ("Order 7 of bob", "On its way")
    assert (await tenant.inbox("carol"))["nodes"] == []
    [stored] = await database.notifications.find({"send": sent["_id"], "mailbox": f"{tenant.name}/bob"}).to_list()
    assert (stored["priority"], stored["tags"], stored["require_ack"]) == ("HIGH", ["orders"], True)
    assert stored["collapse_key"] == "order-7"
    assert stored["expires_at"] - stored["created_at"] > timedelta(hours=23)
    assert "data" not in stored  # recipients cannot read the data of a rule
    assert (await run(tenant, {**data, "total": 1}))["shipped"] == {
        "rule": "shipped",
        "matched": False,
        "reason": "the condition is not met",
        "send": None,
    }


async def test_rule_sends_to_a_topic_to_everyone_and_to_a_filter(tenant: Tenant, database: Database) -> None:
    await subscribe(tenant, "releases", "alice")
    await tenant.execute('mutation { upsertUsers(users: [{ id: "bob", name: "Bob" }]) { id } }')
    await upsert_rule(tenant, "topic", to={"topic": "data.topic"})
    await upsert_rule(tenant, "everyone", to={"everyone": True}, **{"except": "data.author"})
    await upsert_rule(tenant, "filter", to={"where": {"name": "Bob"}})
    found = await run(tenant, {"topic": "releases", "author": "bob", "order": 1})
    sends = {key: await find_send(database, one) for key, one in found.items()}
    assert sends["topic"]["audience"] == {"topic": "releases"}
    assert (sends["everyone"]["audience"], sends["everyone"]["excluded"]) == ({"everyone": True}, ["bob"])
    assert "where" in sends["filter"]["audience"]
    assert "does not exist" in (await run(tenant, {"topic": "nothing", "order": 2}))["topic"]["reason"]
    assert (await run(tenant, {"order": 3}))["topic"]["reason"] == "no recipients: `to` finds none"


async def test_send_is_made_after_the_event_and_gathered(tenant: Tenant, database: Database) -> None:
    await upsert_rule(tenant, "later", after="PT1H", expiresIn="PT2H", tags=["later"])
    await upsert_rule(tenant, "digest", digest={"key": "data.order", "window": "PT1H"}, channels=["IN_APP", "EMAIL"])
    found = await run(tenant, {"customer": "alice", "order": 7}, time="2026-11-30T00:00:00Z")
    later = await find_send(database, found["later"])
    assert later["send_at"] == parse("2026-11-30T01:00:00Z") or later["status"] == "SCHEDULED"
    assert later["tags"] == ["later"]
    assert later["expires_at"] - later["created_at"] > timedelta(minutes=119)
    assert found["digest"]["send"]


async def test_event_waits_while_too_many_sends_are_expanded(tenant: Tenant, database: Database) -> None:
    """Waiting does not count as a try."""
    await upsert_rule(tenant, to={"everyone": True})
    expanding = [
        {"_id": f"{tenant.name}-{n}", "tenant": tenant.name, "status": "EXPANDING"} for n in range(EXPANSIONS_MAX)
    ]
    await database[SENDS].insert_many(expanding)
    event = await publish(tenant, {"order": 7})

    async def attempted() -> Json | None:
        return await database.events.find_one({"_id": event, "attempts.0": {"$exists": True}, "claim": None})

    waiting = await eventually(attempted)
    assert (waiting["status"], waiting["reason"], waiting.get("tries")) == ("HELD", "RATE_LIMITED", None)
    await database[SENDS].delete_many({"_id": {"$in": [send["_id"] for send in expanding]}})
    await database.events.update_one({"_id": event}, {"$set": {"due_at": waiting["created_at"]}})
    assert (await results(tenant, event))["shipped"]["send"]


async def test_rule_that_fails_does_not_affect_the_others(tenant: Tenant) -> None:
    await upsert_rule(tenant, "a-fine", type="shop.order.shipped")
    await upsert_rule(tenant, "b-type", condition="contains(data.nothing, 'x')")
    await upsert_rule(tenant, "c-heavy", condition="data.n | " + "|".join(["[@, @]"] * 20))
    await upsert_rule(tenant, "d-template", content=None, template="shiped")
    await upsert_rule(tenant, "e-title", content={"title": "{{ event.data.nothing }}", "body": ""})
    await upsert_rule(tenant, "f-nobody", to={"users": "data.nothing"})
    await upsert_rule(tenant, "g-other", type="shop.user.*")
    await upsert_rule(tenant, "h-off", enabled=False)
    await upsert_rule(tenant, "i-source", source="/other")
    await upsert(tenant, "shipped")
    found = await run(tenant, {"customer": "alice", "order": 7, "n": 1})
    assert found["a-fine"]["send"]
    reasons = {key: one["reason"] for key, one in found.items() if key != "a-fine"}
    assert reasons == {
        "b-type": "`condition`: contains() requires array or string, not null",
        "c-heavy": "`condition`: a value has more than 400,000 items and characters",
        "d-template": "The template 'shiped' does not exist. Did you mean 'shipped'?",
        "e-title": "`content.title`: line 1: event.data.nothing has no value",
        "f-nobody": "no recipients: `to` finds none",
    }
    assert [one["title"] for one in (await tenant.inbox("alice"))["nodes"]] == ["Order 7"]


async def test_rule_that_is_stopped_again_and_again_is_left_out(tenant: Tenant, database: Database) -> None:
    """Its events are tried again, and make their sends after the rule was simplified."""
    heavy = "data.n | " + "|".join(["[@, @]"] * 20)
    await upsert_rule(tenant, condition=heavy)
    for _ in range(3):
        assert "400,000" in (await run(tenant, {"n": 1}))["shipped"]["reason"]
    event = await publish(tenant, {"n": 1, "customer": "alice", "order": 7})

    async def retrying() -> Json | None:
        return await database.events.find_one({"_id": event, "status": "RETRYING", "claim": None})

    waiting = await eventually(retrying)
    [result] = waiting["results"]
    assert result["reason"].startswith("the last 3 evaluations were stopped at a limit")
    assert waiting["due_at"] - waiting["created_at"] >= timedelta(seconds=60)
    await upsert_rule(tenant, condition="data.n")  # a changed rule is evaluated
    await database.events.update_one({"_id": event}, {"$set": {"due_at": waiting["created_at"]}})
    assert (await results(tenant, event))["shipped"]["send"]


async def test_replay_makes_no_second_send_also_after_a_rule_was_corrected(tenant: Tenant, database: Database) -> None:
    await upsert_rule(tenant, "right")
    await upsert_rule(tenant, "wrong", to={"users": "data.custmer"})
    event = await publish(tenant, {"customer": "alice", "order": 7})
    first = await results(tenant, event)
    assert first["right"]["send"]
    assert first["wrong"]["send"] is None
    await upsert_rule(tenant, "right", content={"title": "Another text", "body": ""}, to={"users": "'bob'"})
    await upsert_rule(tenant, "wrong")
    second = await replay(tenant, event)
    assert (second["right"]["reason"], second["right"]["send"]) == ("duplicate", first["right"]["send"])
    assert (second["wrong"]["reason"], second["wrong"]["send"] is None) == (None, False)
    # without the results, the key of the event and the rule decides
    await database.events.update_one({"_id": event}, {"$unset": {"results": ""}})
    third = await replay(tenant, event)
    for key in ("right", "wrong"):
        assert (third[key]["reason"], third[key]["send"]) == ("duplicate", second[key]["send"])
    assert await database[SENDS].count_documents({"tenant": tenant.name}) == 2
    records = await database.idempotency.find({"_id": {"$regex": f"^{tenant.name}/rule/"}}).to_list()
    assert [set(one) for one in records] == [{"_id", "send", "expires_at"}] * 2
    received = (await database.events.find({"_id": event}).to_list())[0]["created_at"]
    assert all(timedelta(days=31) < one["expires_at"] - received < timedelta(days=33) for one in records)
    assert (await tenant.execute_as_admin(DELETE_RULE, key="right"))["deleted"] is True
    assert (await tenant.execute_as_admin(DELETE_RULE, key="right"))["deleted"] is False
    assert (await replay(tenant, event))["right"]["send"] == first["right"]["send"]  # it stays in the event log


async def test_rules_of_the_hubs_own_events_name_the_hub_and_do_not_loop(tenant: Tenant) -> None:
    hub = "https://hub.example.com"
    await upsert_rule(tenant, "any", type="hub.*", source=hub, to={"users": "'oncall'"})
    await upsert_rule(tenant, "shop", type="shop.*", to={"users": "'alice'"})
    shop = (await run(tenant, {"order": 1}))["shop"]["send"]["id"]
    event = {"sendId": shop, "order": 1}
    assert await run(tenant, event, "hub.delivery.failed") == {}  # from /shop, which is not the hub
    own = (await run(tenant, event, "hub.delivery.failed", source=hub))["any"]
    assert own["send"]
    looped = (await run(tenant, {**event, "sendId": own["send"]["id"]}, "hub.delivery.failed", source=hub))["any"]
    assert (looped["matched"], looped["send"]) == (False, None)
    assert "one of the hub's own events" in looped["reason"]
    assert len((await tenant.inbox("oncall"))["nodes"]) == 1


async def test_rule_is_tested_with_nothing_stored(tenant: Tenant, database: Database) -> None:
    async def check(event: Json, **changes: Any) -> Json:
        tested: Json = (await tenant.execute(TEST_RULE, input=rule_input(**changes), event=event))["testRule"]
        return tested

    event = {"type": "shop.order.shipped", "source": "/shop", "data": {"customer": "alice", "order": 7}}
    tested = await check(event, channels=["IN_APP"], enabled=False)
    assert (tested["matched"], tested["reason"], tested["data"]) == (True, None, event["data"])
    [one] = tested["simulation"]
    shown = [(row["outcome"], row["title"]) for row in one["decisions"] if row["channel"] == "IN_APP"]
    assert (one["userId"], shown) == ("alice", [("ACCEPTED", "Order 7")])
    assert "would be created" in one["decisions"][0]["note"]
    refused = await check({"type": "shop.user.created"})
    assert (refused["matched"], refused["simulation"]) == (False, [])
    assert "does not fit" in refused["reason"]
    assert (await check(event, condition="`false`"))["reason"] == "the condition is not met"
    unknown = await check(event, content=None, template="nothing", data="{a: data.order}")
    assert (unknown["matched"], unknown["data"]) == (True, {"a": 7})
    assert "does not exist" in unknown["reason"]
    assert (await error(check(event, condition="a.")))[1] == "input.condition"
    assert (await error(check([])))[1] == "event"  # type: ignore[arg-type]
    for collection in ("tenant_rules", "sends", "notifications", "idempotency"):
        found = {"$or": [{"tenant": tenant.name}, {"_id": {"$regex": f"^{tenant.name}/"}}]}
        assert await database[collection].count_documents(found) == 0


async def test_tenant_has_a_limit_of_rules_and_an_event_too(tenant: Tenant, database: Database) -> None:
    await upsert_rule(tenant, "first")
    stored = await database.tenant_rules.find_one({"tenant": tenant.name})
    assert stored
    copies = [{**stored, "_id": f"{tenant.name}/{n:03}", "key": f"{n:03}"} for n in range(1, EVENT_MAX_RULES)]
    await database.tenant_rules.insert_many(copies)
    code, field, _ = await error(upsert_rule(tenant, "one-more"))
    assert (code, field) == ("TOO_LARGE", "input.type")
    await upsert_rule(tenant, "one-more", enabled=False)
    await upsert_rule(tenant, "first", name="Changed")
    more = [
        {**stored, "_id": f"{tenant.name}/m{n}", "key": f"m{n}", "type": f"other.{n}"}
        for n in range(TENANT_MAX_RULES - EVENT_MAX_RULES - 1)
    ]
    await database.tenant_rules.insert_many(more)
    code, field, _ = await error(upsert_rule(tenant, uuid4().hex, type="shop.user.created"))
    assert (code, field) == ("TOO_LARGE", "input.key")
    await upsert_rule(tenant, "first", name="Changed again")


async def test_rules_of_another_tenant_are_not_found(tenant: Tenant) -> None:
    await upsert_rule(tenant)
    async with Tenant(f"t{uuid4().hex[:12]}", tenant.urls) as other:
        assert (await other.execute(GET_RULE, key="shipped"))["rule"] is None
        assert (await other.execute_as_admin(DELETE_RULE, key="shipped"))["deleted"] is False
        assert await run(other, {"customer": "alice", "order": 7}) == {}
    with pytest.raises(GraphQLErrors):
        await tenant.execute(GET_RULE, key="")
