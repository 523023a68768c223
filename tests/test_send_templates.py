"""Sends with a template: the in-app text of each recipient, errors, and `simulate`."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_datetime

from hub.platform.connections import Database
from tests.client import GraphQLErrors, Json, Tenant
from tests.processes import Deployment
from tests.template_calls import error, render
from tests.template_sends import (
    DELETE,
    LOCALES,
    SEND,
    UPSERT_USERS,
    create_people,
    send_template,
    store_template,
    template_input,
)

STOPPED = re.compile("more than 20000 nodes|rendering takes longer than 50 ms")
"""What stops the slow template: the number of its nodes, or the time on a busy machine."""
SENT = """query ($id: ID!) { send(id: $id) {
  title template templateVersion content { title }
  counts { channel status count reasons { reason count } }
  notifications(hidden: true) { nodes { userId title deliveries { channel status reason attempts { ok provider error } } } }
} }"""
SEND_MANY = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } } }"
SIMULATE = (
    "query ($input: SendInput!) { simulate(input: $input) { userId decisions { channel outcome reason title body } } }"
)
SIMULATE_ALL = (
    "query ($input: SendInput!) { simulate(input: $input, first: 100) { userId decisions { outcome title body } } }"
)
RECEIPTS = "subscription ($id: ID!) { receipts(sendId: $id) { kind channel status reason userId } }"


async def texts_of(tenant: Tenant, user: str) -> list[tuple[str, str]]:
    return [(n["title"], n["body"]) for n in (await tenant.inbox(user))["nodes"]]


async def refusal(tenant: Tenant, input: Json) -> tuple[str, str, str]:
    """Return code, field, and message of the error."""
    with pytest.raises(GraphQLErrors) as refused:
        await tenant.execute(SEND, input=input)
    [error] = refused.value.errors
    return error["extensions"]["code"], error["extensions"]["field"], error["message"]


async def test_template_is_rendered_with_its_data_over_that_of_the_send(tenant: Tenant) -> None:
    await store_template(tenant, "order", title="Order {{ number }}", body="{{ data.number }}: {{ total }}")
    sent = (await send_template(tenant, "alice", data={"number": 1, "total": 5}, template_data={"number": 2}))["send"]
    assert (sent["title"], sent["template"], sent["templateVersion"], sent["content"]) == ("Order 2", "order", 1, None)
    assert await texts_of(tenant, "alice") == [("Order 2", "2: 5")]
    [n] = (await tenant.execute("{ inbox { nodes { data } } }", user="alice"))["inbox"]["nodes"]
    assert n["data"] == {"number": 1, "total": 5}


@pytest.mark.parametrize("together", [True, False])
async def test_recipients_of_three_locales_and_four_zones_get_their_own_values(tenant: Tenant, together: bool) -> None:
    people = await create_people(tenant, 24)
    at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    for locale, hello in LOCALES.items():
        await store_template(
            tenant, "own", locale=locale, title=f"{hello} {{{{ user.name }}}}", body="{{ notification.id }}"
        )
        await store_template(tenant, "when", locale=locale, title=hello, body="{{ at | datetime }}")
        await store_template(tenant, "amount", locale=locale, title=f"{hello}!", body="{{ 1234.5 | currency: 'EUR' }}")
    users = [person["id"] for person in people]
    for key in ("own", "when", "amount"):
        sends = [users] if together else [[user] for user in users]
        data = {"at": at.isoformat()}
        await asyncio.gather(*(send_template(tenant, *some, key=key, data=data) for some in sends))
    for person in people:
        hello = LOCALES[person["locale"]]
        found = {n["title"]: n for n in (await tenant.inbox(person["id"]))["nodes"]}
        own = found.pop(f"{hello} {person['name']}")
        assert own["body"] == own["id"]
        local = format_datetime(at, "medium", tzinfo=ZoneInfo(person["timezone"]), locale=person["locale"])
        assert found[hello]["body"] == local
        euros = {"en": "€1,234.50", "de": "1.234,50\xa0€", "fr": "1\u202f234,50\xa0€"}
        assert found[f"{hello}!"]["body"] == euros[person["locale"]]
        assert len(found) == 2


async def test_created_at_of_a_template_is_that_of_the_notification(tenant: Tenant) -> None:
    await store_template(tenant, "order", body="{{ notification.createdAt }}")
    await send_template(tenant, "alice", "bob")
    for user in ("alice", "bob"):
        [n] = (await tenant.inbox(user))["nodes"]
        assert n["body"] == n["createdAt"]


async def test_missing_value_is_refused_and_named_before_anything_is_stored(tenant: Tenant) -> None:
    await store_template(tenant, "order", title="Order", body="Hello {{ user.name }}, {{ data.order.id }}")
    code, field, message = await refusal(tenant, template_input("alice", template_data={"order": {}}))
    assert (code, field) == ("BAD_USER_INPUT", "input.template.data")
    assert "order.id" in message
    assert "`body`" in message
    assert (await tenant.inbox("alice"))["nodes"] == []
    assert (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"] == []
    many = [template_input("alice", template_data={"order": {"id": 7}}), template_input("bob")]
    headers = {"authorization": f"Bearer {tenant.token()}"}
    response = await tenant.execute_raw(SEND_MANY, headers=headers, inputs=many)
    assert [bool(result) for result in response["data"]["sendMany"]] == [True, False]
    [error] = response["errors"]
    assert (error["path"], error["extensions"]["field"]) == (["sendMany", 1], "inputs.1.template.data")


async def test_template_that_is_too_slow_is_refused_at_the_call(tenant: Tenant) -> None:
    loop = "{% for i in (1..999) %}{% endfor %}"
    for part in ("title", "body"):
        await store_template(tenant, "slow", **{part: f"A{loop * 40}"})
        code, field, message = await refusal(tenant, template_input("alice", key="slow"))
        assert (code, field) == ("BAD_USER_INPUT", "input.template.data")
        assert f"`{part}`" in message
        assert STOPPED.search(message)
    assert (await tenant.inbox("alice"))["nodes"] == []
    assert (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


async def test_template_that_was_stopped_three_times_is_refused_until_it_changes(
    tenant: Tenant, deployment: Deployment
) -> None:
    """Each process counts, so all calls go to one. For previews, the templates of a tenant count together."""
    loop = "{% for i in (1..999) %}{% endfor %}" * 40
    draft = {"key": "draft", "locale": "en", "title": "Draft", "body": loop}
    async with Tenant(tenant.name, deployment.urls[:1]) as one:
        await store_template(one, "slow", body="Hello{% if slow %}" + loop + "{% endif %}")
        slow = template_input("alice", key="slow", data={"slow": True})
        for expected in [STOPPED.pattern] * 3 + ["The last 3 renderings were stopped"]:
            assert re.search(expected, (await refusal(one, slow))[2])
        await store_template(one, "other", body="Hello")
        await send_template(one, "alice", key="other")
        await store_template(one, "slow", body="Quick")
        await send_template(one, "alice", key="slow")
        for expected in [STOPPED.pattern] * 3 + ["The last 3 renderings were stopped"]:
            assert re.search(expected, (await error(render(one, "draft", draft=draft)))[2])
        assert "The last 3" in (await error(render(one, "other")))[2]


async def test_missing_value_is_looked_for_in_the_locale_of_the_tenant(tenant: Tenant) -> None:
    await store_template(tenant, "order", title="Order")
    await store_template(tenant, "order", locale="de", title="Bestellung {{ number }}")
    await send_template(tenant, "alice")
    await tenant.execute_as_admin(
        "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }", input={"locale": "de"}
    )
    code, _, message = await refusal(tenant, template_input("alice"))
    assert (code, "number has no value" in message) == ("BAD_USER_INPUT", True)


async def test_optional_values_and_names_of_the_hub_in_data_are_accepted(tenant: Tenant) -> None:
    body = "{% if note %}{{ note }}{% endif %}{{ coupon | default: 'none' }} {{ user.id }} {{ data.user }} {{ locale }}"
    await store_template(tenant, "order", body=body)
    await send_template(tenant, "alice", template_data={"user": "eve", "locale": "xx", "timezone": "Nowhere"})
    assert await texts_of(tenant, "alice") == [("Title", "none alice eve xx")]


async def test_profile_that_is_not_known_yet_is_no_missing_value(tenant: Tenant) -> None:
    body = "{{ user.attributes.visits[0].city }}{{ user.attributes.next | date }}{% for x in user.attributes.list %}{{ x.y }}{% endfor %}"
    await store_template(tenant, "order", title="Hello {{ user.name }}", body=body)
    attributes = {"visits": [{"city": "Rome"}], "next": "2026-01-02", "list": [{"y": 1}, {"y": 2}]}
    await tenant.execute(UPSERT_USERS, users=[{"id": "alice", "name": "Alice", "attributes": attributes}])
    assert (await send_template(tenant, "alice"))["send"]["title"] == "Hello"
    assert await texts_of(tenant, "alice") == [("Hello Alice", "RomeJan 2, 202612")]


async def test_exactly_one_of_content_and_template_is_required(tenant: Tenant) -> None:
    await store_template(tenant, "order")
    content = {"title": "Hello", "body": ""}
    both = {**template_input("alice"), "content": content}
    neither = {name: value for name, value in both.items() if name not in ("content", "template")}
    for input in (both, neither):
        code, field, _ = await refusal(tenant, input)
        assert (code, field) == ("BAD_USER_INPUT", "input.content")
    code, field, _ = await refusal(tenant, {**neither, "template": {"key": "order", "data": [1]}})
    assert (code, field) == ("BAD_USER_INPUT", "input.template.data")


async def test_unknown_deleted_and_unsuitable_templates_are_refused(tenant: Tenant) -> None:
    assert (await refusal(tenant, template_input("alice")))[:2] == ("NOT_FOUND", "input.template.key")
    await store_template(tenant, "order")
    unknown = "The template 'ordre' does not exist."
    misspelled = template_input("alice", key="ordre")
    assert (await refusal(tenant, misspelled))[2] == f"{unknown} Did you mean 'order'?"
    await tenant.execute_as_admin(DELETE, key="order")
    assert (await refusal(tenant, template_input("alice")))[:2] == ("NOT_FOUND", "input.template.key")
    assert (await refusal(tenant, misspelled))[2] == unknown
    await store_template(tenant, "mail", channel="EMAIL")
    await store_template(tenant, "german", locale="de")
    for key in ("mail", "german"):
        code, field, message = await refusal(tenant, template_input("alice", key=key))
        assert (code, field) == ("BAD_USER_INPUT", "input.template.key")
        assert "IN_APP" in message


async def test_text_that_fails_for_one_recipient_hides_the_notification_and_is_reported(tenant: Tenant) -> None:
    await store_template(tenant, "plan", title="Your plan", body="{{ user.attributes.plan.name }}")
    alice = {"id": "alice", "attributes": {"plan": {"name": "gold"}}}
    await tenant.execute(UPSERT_USERS, users=[alice, {"id": "bob", "attributes": {"plan": {}}}])
    sent = (await send_template(tenant, "alice", "bob", key="plan", channels=["IN_APP", "SMS"]))["send"]
    async with tenant.socket() as socket:
        received = await (await socket.subscribe(RECEIPTS, variables={"id": sent["id"]})).take(4)
    assert await texts_of(tenant, "alice") == [("Your plan", "gold")]
    assert await texts_of(tenant, "bob") == []
    assert (await tenant.inbox("bob"))["unread"] == 0
    found = (await tenant.execute(SENT, id=sent["id"]))["send"]
    rows = {(row["channel"], row["status"]): (row["count"], row["reasons"]) for row in found["counts"]}
    assert rows["IN_APP", "DELIVERED"][0] == 1
    assert rows["IN_APP", "FAILED"] == (1, [{"reason": "TEMPLATE_ERROR", "count": 1}])
    [bobs] = [n for n in found["notifications"]["nodes"] if n["userId"] == "bob"]
    [failed] = [delivery for delivery in bobs["deliveries"] if delivery["channel"] == "IN_APP"]
    assert (failed["status"], failed["reason"]) == ("FAILED", "TEMPLATE_ERROR")
    [attempt] = failed["attempts"]
    assert (attempt["ok"], attempt["provider"]) == (False, "template")
    assert "plan.name has no value" in attempt["error"]
    in_app = {row["userId"]: (row["status"], row["reason"]) for row in received if row["channel"] == "IN_APP"}
    assert in_app == {"alice": ("DELIVERED", None), "bob": ("FAILED", "TEMPLATE_ERROR")}


async def test_script_in_a_link_fails_and_control_characters_are_removed(tenant: Tenant) -> None:
    await store_template(tenant, "link", title="Open {{ name }}", actionUrl="{{ url }}")
    data = {"name": "it\r\nBcc: eve@example.org", "url": "javascript:alert(1)"}
    sent = (await send_template(tenant, "alice", key="link", template_data=data))["send"]
    [row] = (await tenant.execute(SENT, id=sent["id"]))["send"]["counts"]
    assert (row["status"], row["reasons"]) == ("FAILED", [{"reason": "TEMPLATE_ERROR", "count": 1}])
    await send_template(tenant, "alice", key="link", template_data=data | {"url": "https://example.org/?a=1"})
    [n] = (await tenant.execute("{ inbox { nodes { title actionUrl } } }", user="alice"))["inbox"]["nodes"]
    assert n == {"title": "Open it Bcc: eve@example.org", "actionUrl": "https://example.org/?a=1"}


async def test_repeated_key_is_a_duplicate_even_after_the_template_was_deleted(tenant: Tenant) -> None:
    await store_template(tenant, "order", title="Order {{ number }}")
    first = await send_template(tenant, "alice", template_data={"number": 1}, idempotencyKey="k")
    await store_template(tenant, "order", title="Changed {{ number }} {{ other }}")
    again = await send_template(tenant, "alice", template_data={"number": 1}, idempotencyKey="k")
    assert (again["duplicate"], again["send"]) == (True, first["send"])
    await tenant.execute_as_admin(DELETE, key="order")
    again = await send_template(tenant, "alice", template_data={"number": 1}, idempotencyKey="k")
    assert (again["duplicate"], again["send"]) == (True, first["send"])
    with pytest.raises(GraphQLErrors) as refused:
        await send_template(tenant, "alice", template_data={"number": 2}, idempotencyKey="k")
    assert refused.value.code == "CONFLICT"
    with pytest.raises(GraphQLErrors) as refused:
        await send_template(tenant, "zoe", template_data={"number": 2}, idempotencyKey="other")
    assert refused.value.code == "NOT_FOUND"
    assert (await tenant.execute('{ user(id: "zoe") { id } }'))["user"] is None
    assert await texts_of(tenant, "alice") == [("Order 1", "")]


async def test_recall_removes_the_title_and_the_data_of_the_template(tenant: Tenant, database: Database) -> None:
    await store_template(tenant, "reset", title="Reset {{ token }}")
    id = (await send_template(tenant, "alice", key="reset", template_data={"token": "secret"}))["send"]["id"]
    assert "secret" in str(await database.sends.find_one({"_id": id}))
    await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=id)
    found = (await tenant.execute(SENT, id=id))["send"]
    assert (found["title"], found["template"], found["templateVersion"]) == (None, "reset", 1)
    assert "secret" not in str(await database.sends.find_one({"_id": id}))


async def test_simulate_returns_the_texts_of_each_recipient_and_channel(tenant: Tenant) -> None:
    await store_template(tenant, "plan", title="Hello {{ user.id }}", body="{{ user.attributes.plan }}")
    await store_template(tenant, "plan", locale="de", title="Hallo {{ user.id }}", body="{{ data.amount }}")
    alice = {"id": "alice", "attributes": {"plan": "gold"}}
    await tenant.execute(UPSERT_USERS, users=[alice, {"id": "bob"}, {"id": "carl", "locale": "de-AT"}])
    input = template_input("alice", "bob", "carl", key="plan", data={"amount": 3}, channels=["IN_APP"])
    rows = (await tenant.execute(SIMULATE, input=input))["simulate"]
    decisions: dict[str, Any] = {
        row["userId"]: decision for row in rows for decision in row["decisions"] if decision["channel"] == "IN_APP"
    }
    assert (decisions["alice"]["title"], decisions["alice"]["body"]) == ("Hello alice", "gold")
    assert (decisions["bob"]["outcome"], decisions["bob"]["reason"]) == ("FAILED", "TEMPLATE_ERROR")
    assert decisions["bob"]["title"] is None
    assert (decisions["carl"]["title"], decisions["carl"]["body"]) == ("Hallo carl", "3")
    assert (await tenant.execute("{ sends { nodes { id } } }"))["sends"]["nodes"] == []


async def test_simulate_renders_one_notification_per_recipient_within_a_limit_of_time(tenant: Tenant) -> None:
    users = [f"user-{n}" for n in range(100)]
    input = template_input(*users, channels=["IN_APP"], steps=[{"channels": ["IN_APP"], "after": "PT1H"}])
    await store_template(tenant, "order", title="{{ notification.id }}")
    rows = (await tenant.execute(SIMULATE_ALL, input=input))["simulate"]
    titles = [{one["title"] for one in row["decisions"] if one["outcome"] != "SKIPPED"} for row in rows]
    assert [len(one) for one in titles] == [1] * len(users)
    assert len(set.union(*titles)) == len(users)
    slow = "{% for j in (1..7) %}{% for i in (1..900) %}{% assign x = i | times: 2 %}{% endfor %}{% endfor %}{{ notification.id }}"
    await store_template(tenant, "order", title="Slow", body=slow)
    for query in (SIMULATE_ALL, SEND):
        with pytest.raises(GraphQLErrors, match="takes longer than 2 s") as refused:
            await tenant.execute(query, input=input)
        [error] = refused.value.errors
        assert (error["extensions"]["code"], error["extensions"]["field"]) == ("TOO_LARGE", "input.template.key")


async def test_change_of_a_template_or_of_the_tenant_holds_for_the_next_send(tenant: Tenant) -> None:
    for version in range(1, 4):
        assert await store_template(tenant, "order", title=f"Version {version} of {{{{ tenant.name }}}}") == version
        await tenant.execute_as_admin(
            "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }", input={"name": f"Acme {version}"}
        )
        assert (await send_template(tenant, "alice"))["send"]["templateVersion"] == version
        assert (await texts_of(tenant, "alice"))[0] == (f"Version {version} of Acme {version}", "")
