"""Stored templates: versions, limits, and errors, through the API."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from hub.model import Role
from hub.platform.connections import Database
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.processes import Deployment
from tests.template_calls import (
    DELETE,
    DELETE_ALL_CHANNELS,
    GET,
    LIST,
    RENDER,
    REVERT,
    UPSERT,
    error,
    get,
    render,
    upsert,
)


@pytest.mark.parametrize("role", [Role.USER, Role.SERVICE])
async def test_changes_require_the_admin_role_and_reading_the_service_role(tenant: Tenant, role: Role) -> None:
    await upsert(tenant)
    headers = {"authorization": f"Bearer {tenant.token('alice' if role is Role.USER else None, role=role)}"}
    reads: tuple[tuple[str, Json], ...] = (
        (GET, {"key": "order"}),
        (LIST, {}),
        (RENDER, {"t": {"key": "order"}, "channel": "IN_APP"}),
    )
    changes: tuple[tuple[str, Json], ...] = (
        (UPSERT, {"input": {"key": "a", "title": "T", "body": "B"}}),
        (REVERT, {"key": "order", "version": 1}),
        (DELETE, {"key": "order"}),
    )
    for query, variables in changes:
        response = await tenant.execute_raw(query, headers=headers, **variables)
        assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for query, variables in reads:
        response = await tenant.execute_raw(query, headers=headers, **variables)
        assert ("errors" in response) == (role is Role.USER)
    assert (await get(tenant))["version"] == 1


async def test_version_numbers_the_changes_of_a_key_over_locales_and_channels(tenant: Tenant) -> None:
    first = await upsert(tenant, body="one {{ data.n }}", note="first")
    assert (first["version"], first["variables"], first["updatedBy"]) == (1, ["data.n"], "admin")
    assert (await upsert(tenant, body="eins", locale="DE"))["version"] == 2
    assert (await upsert(tenant, body="sms", channel="SMS"))["version"] == 3
    assert (await upsert(tenant, body="two", note="second"))["version"] == 4
    assert (await upsert(tenant, body="two"))["version"] == 4  # changes nothing
    assert (await upsert(tenant, "other"))["version"] == 1
    bodies = [(await get(tenant, version=version) or {}).get("body") for version in (0, 1, 2, 3, 4, 99)]
    assert bodies == [None, "one {{ data.n }}", "one {{ data.n }}", "one {{ data.n }}", "two", "two"]
    current = await get(tenant)
    assert [(v["version"], v["note"]) for v in current["versions"]] == [(1, "first")]
    assert (await get(tenant, locale="de", version=1)) is None
    assert (await get(tenant, locale="de"))["versions"] == []
    listed = (await tenant.execute(LIST, key="order"))["templates"]
    assert [(t["locale"], t["channel"], t["version"]) for t in listed] == [
        ("de", None, 2),
        ("en", None, 4),
        ("en", "SMS", 3),
    ]
    assert len((await tenant.execute(LIST))["templates"]) == 4


async def test_revert_creates_a_version_with_the_earlier_text(tenant: Tenant) -> None:
    await upsert(tenant, body="one")
    await upsert(tenant, body="two")
    reverted = await tenant.execute_as_admin(REVERT, key="order", version=1, locale="en")
    assert (reverted["revertTemplate"]["version"], reverted["revertTemplate"]["body"]) == (3, "one")
    assert [v["version"] for v in (await get(tenant))["versions"]] == [2, 1]
    assert (await get(tenant, version=2))["body"] == "two"
    missing = tenant.execute_as_admin(REVERT, key="order", version=1, locale="de")
    assert (await error(missing))[:2] == ("NOT_FOUND", "version")


async def test_deletion_is_a_change_and_can_be_reverted(tenant: Tenant) -> None:
    texts: tuple[Json, ...] = ({}, {"channel": "SMS"}, {"locale": "de"}, {"locale": "de", "channel": "EMAIL"})
    for more in texts:
        await upsert(tenant, **more)
    assert (await tenant.execute_as_admin(DELETE, key="order", locale="de", channel=None))["deleteTemplate"] == 1
    assert await get(tenant, locale="de") is None
    assert (await get(tenant, locale="de", version=4))["version"] == 3
    assert (await tenant.execute_as_admin(DELETE, key="order", locale="de", channel=None))["deleteTemplate"] == 0
    assert (await tenant.execute_as_admin(DELETE_ALL_CHANNELS, key="order"))["deleteTemplate"] == 3
    assert (await tenant.execute(LIST))["templates"] == []
    reverted = await tenant.execute_as_admin(REVERT, key="order", version=4, locale="de")
    assert reverted["revertTemplate"]["version"] == 7
    assert (await error(render(tenant, locale="fr")))[:2] == ("NOT_FOUND", "template.key")


async def test_replaced_and_deleted_versions_expire_and_current_ones_do_not(tenant: Tenant, database: Database) -> None:
    await upsert(tenant, body="one")
    await upsert(tenant, body="two")
    await upsert(tenant, locale="de")
    await tenant.execute_as_admin(DELETE_ALL_CHANNELS, key="order", locale="de")
    docs = await database.templates.find({"tenant": tenant.name}).sort("version").to_list()
    assert [("ended_at" in doc, doc["until"]) for doc in docs] == [(True, 2), (False, 2**31 - 1), (True, 4), (True, 4)]
    index = (await database.templates.index_information())["expiry"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("ended_at", 1)], 400 * 86_400)


async def test_concurrent_changes_of_a_key_get_different_versions(tenant: Tenant) -> None:
    texts = [{"locale": locale, "body": f"{n}"} for n in range(10) for locale in ("en", "de", "fr")]
    stored = await asyncio.gather(*(upsert(tenant, **text) for text in texts))
    assert sorted(template["version"] for template in stored) == list(range(1, 31))
    by_version = {template["version"]: template for template in stored}
    for version in (1, 15, 30):
        found = await get(tenant, locale=by_version[version]["locale"], version=version)
        assert found["body"] == by_version[version]["body"]


@pytest.mark.parametrize(
    ("texts", "data", "field", "expected"),
    [
        ({"body": "a\n{{ user.name"}, None, "input.body", "`body`, line 2: `{{` is not closed."),
        ({"title": "{{ x | nope }}"}, None, "input.title", "`title`, line 1: the filter `nope` does not exist."),
        ({"html": "<p>{{ x | nope }}</p>"}, None, "input.html", "`html`, line 1: the filter `nope` does not exist."),
        (
            {"html": "<mjml><mj-include path='/etc/passwd' /></mjml>"},
            None,
            "input.html",
            "`mj-include` is not supported.",
        ),
        ({"body": "\n{{ data.order.id }}"}, {"order": {}}, "input.body", "`body`, line 2: data.order.id has no value."),
        ({"html": "<p>\n<b>{{ name }}</b></p>"}, {}, "input.html", "`html`, line 2: name has no value."),
        ({"actionUrl": "{{ url }}"}, {"url": "javascript:alert(1)"}, "input.actionUrl", "the rendered link must be"),
        ({"imageUrl": "{{ url }}"}, {"url": "//example.org/x"}, "input.imageUrl", "the rendered link must be"),
        (
            {"html": "<a href='{{ url }}'>x</a>"},
            {"url": "Java\tScript:alert(1)"},
            "input.html",
            "a rendered link begins with `JavaScript:`",
        ),
        ({"actions": [{"key": "a", "label": "{{ a }}"}]}, {}, "input.actions.0.label", "a has no value."),
        ({"whatsappVariables": ["x", "{{ a }}"]}, {}, "input.whatsappVariables.1", "a has no value."),
        ({"title": "x" * 65_000, "body": "x" * 1000}, None, "input", "the template has more than 65536 characters."),
        ({"html": "x" * 262_145}, None, "input.html", "the template has more than 262144 characters."),
        ({"locale": "not a locale"}, None, "input.locale", "A locale must be a BCP 47 tag"),
        (
            {"key": "_digest", "body": "{% for item in items %}\n{{ item.imageUrl }}{% endfor %}"},
            None,
            "input.body",
            "item.imageUrl has no value.",
        ),
        (
            {"key": "_digest", "body": "{% for a in items %}{% for b in items %}{{ b.title }}{% endfor %}{% endfor %}"},
            None,
            "input.body",
            "limit reached (with 100 items).",
        ),
        ({"key": "_digest", "body": "{{ data.order }}"}, None, "input.body", "data.order has no value."),
        ({"key": "_briefing"}, {"items": [{"title": "A"}], "order": 1}, "input.sample", "unknown field `order`"),
        (
            {"key": "_briefing"},
            {"items": [{"title": "A"}] * 2, "count": 1},
            "input.sample",
            "`count` must be at least 2",
        ),
        ({"key": "_layout2"}, None, "input.key", "Keys that begin with an underscore are reserved."),
        ({"whatsappContentSid": "x"}, None, "input.whatsappContentSid", "This id must be HX"),
        ({}, ["x"], "input.sample", "The data of a template must be a JSON object."),
    ],
)
async def test_error_names_text_line_and_variable_and_nothing_is_stored(
    tenant: Tenant, texts: Json, data: Any, field: str, expected: str
) -> None:
    code, named, message = await error(upsert(tenant, **{"sample": data, **texts}))
    assert (code, named) == ("BAD_USER_INPUT", field)
    assert expected in message
    assert (await tenant.execute(LIST))["templates"] == []


async def test_sample_that_renders_is_accepted_and_users_are_stand_ins(tenant: Tenant) -> None:
    body = (
        "{{ user.name }} {{ user.attributes.plan.name }} {{ enriched.a.b }} {{ notification.id }} {{ count }}"
        "{{ notification.createdAt | date }} {{ user.attributes.price | currency: 'EUR' }}"
        "{% for item in user.attributes.list %}{{ item }}{% endfor %}"
    )
    stored = await upsert(tenant, title="{{ user.name }}", body=body, sample={"count": 3})
    assert stored["version"] == 1
    assert (await render(tenant, data={"count": 3}))["body"].split() == ["3"]


async def test_tenant_has_at_most_a_thousand_templates(tenant: Tenant, database: Database) -> None:
    stored = await database.templates.find_one({"tenant": (await _with_one(tenant)).name})
    assert stored
    copies = [stored | {"_id": uuid4().hex, "key": f"k{n}"} for n in range(998)]
    await database.templates.insert_many(copies)
    results = await asyncio.gather(*(upsert(tenant, f"new{n}") for n in range(4)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, GraphQLErrors)]
    assert len(refused) == 3
    assert {one.code for one in refused} == {"TOO_LARGE"}
    assert len((await tenant.execute(LIST))["templates"]) == 1000
    await upsert(tenant, body="replaced")  # replaces one


async def _with_one(tenant: Tenant) -> Tenant:
    await upsert(tenant)
    return tenant


async def test_texts_of_one_key_are_bounded(tenant: Tenant, deployment: Deployment) -> None:
    html = "<p>" + "x" * 250_000 + "</p>"
    for n in range(16):
        await upsert(tenant, locale=f"de-{n:03}", html=html)
    assert (await error(upsert(tenant, locale="fr", html=html)))[:2] == ("TOO_LARGE", "input")
    listed = 'query { templates(key: "order") { locale html } }'
    assert len((await tenant.execute(listed))["templates"]) == 16
    assert len((await tenant.execute(LIST))["templates"]) == 16

    async def warned() -> bool:
        return any("email_template_clipped" in api.log and tenant.name in api.log for api in deployment.apis)

    await eventually(warned)


async def test_text_for_a_channel_of_a_newer_version_is_not_used_for_other_channels(
    tenant: Tenant, database: Database
) -> None:
    await upsert(tenant)
    stored = await database.templates.find_one({"tenant": tenant.name})
    assert stored
    newer = {"_id": uuid4().hex, "version": 2, "channel": "PAGER", "body": "newer", "unknown": 1}
    await database.templates.insert_one(stored | newer)
    assert (await render(tenant))["body"] == "Hello"
    assert (await get(tenant))["body"] == "Hello"
    assert [template["version"] for template in (await tenant.execute(LIST))["templates"]] == [1]
    assert (await upsert(tenant, body="third"))["version"] == 3


async def test_templates_of_another_tenant_do_not_exist(tenant: Tenant) -> None:
    await upsert(tenant)
    async with Tenant(f"t{uuid4().hex[:12]}", tenant.urls) as other:
        assert await get(other) is None
        assert (await error(render(other)))[0] == "NOT_FOUND"
        assert (await other.execute_as_admin(DELETE_ALL_CHANNELS, key="order"))["deleteTemplate"] == 0
        assert (await upsert(other))["version"] == 1
    assert (await get(tenant))["version"] == 1


async def test_erased_author_is_not_named(tenant: Tenant) -> None:
    headers = {"authorization": f"Bearer {tenant.token('carla', role=Role.ADMIN)}"}
    fields = {"key": "order", "title": "T", "body": "B"}
    response = await tenant.execute_raw(UPSERT, headers=headers, input=fields)
    assert response["data"]["upsertTemplate"]["updatedBy"] == "carla"
    await tenant.execute_as_admin('mutation { deleteUser(id: "carla") }')
    assert (await get(tenant))["updatedBy"] == "erased"


async def test_name_of_a_user_is_stored_exported_and_cleared(tenant: Tenant) -> None:
    query = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { name updatedAt } }"
    [user] = (await tenant.execute(query, u=[{"id": "ann", "name": "Ann Lee"}]))["upsertUsers"]
    assert user["name"] == "Ann Lee"
    exported = await tenant.execute_as_admin('mutation { exportUser(id: "ann") }')
    assert exported["exportUser"]["profile"]["name"] == "Ann Lee"
    [user] = (await tenant.execute(query, u=[{"id": "ann", "name": None}]))["upsertUsers"]
    assert user["name"] is None
    assert datetime.fromisoformat(user["updatedAt"]) <= datetime.now(UTC)
