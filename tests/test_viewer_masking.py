"""The role `viewer` gets no personal data and no content: every text of the schema is read over data with a marker."""

import asyncio
import json
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type

from hub.api.schema.personal_data import SEARCHES, mask_address, mask_email, mask_phone
from hub.model import Role
from hub.platform.connections import Database
from tests.client import Json, Tenant, eventually
from tests.marked_data import CATEGORY, EMAIL, MARK, PHONE, TEMPLATE, USER, Ids, contains_mark, create_marked_data
from tests.schema_paths import DEPTH_MAX, SCHEMA, SchemaPath, paths, values_of
from tests.test_access import rules

AT_ONCE = 4  # operations that run at the same time
SINCE = '"2026-01-01T00:00:00Z"'
MASKED = {
    *("Action.label", "Action.url", "Actor.avatarUrl", "Actor.name", "Attempt.error", "Content.actionUrl"),
    *("Content.body", "Content.imageUrl", "Content.title", "Decision.body", "Decision.title", "Delivery.lastError"),
    *("DeliveryGroup.error", "Device.label", "FindResult.title", "Notification.actionUrl"),
    *("Notification.body", "Notification.collapseKey", "Notification.data", "Notification.imageUrl"),
    *("Notification.tags", "Notification.threadKey", "Notification.title", "Send.collapseKey", "Send.tags"),
    *("Send.title", "Suppression.address", "User.attributes", "User.email", "User.name", "User.phone"),
}
"""The texts in which the role `support` reads the marker. This shows that the operations reach them."""


def root_arguments(ids: Ids) -> dict[str, list[str]]:
    """Return the arguments of each query that a viewer may use."""
    simulated = f'{{to: {{users: ["{USER}"]}}, category: "{CATEGORY}", template: {{key: "{TEMPLATE}"}}}}'
    return {
        "activity": [f'(since: {SINCE}, by: "P1D")'],
        "categories": [""],
        "deliveries": ["(first: 2)", f'(filter: {{userId: "{USER}", includeDecided: true}}, first: 3)'],
        "delivery": [f'(id: "{ids.delivery}")'],
        "deliveryGroups": [""],
        "find": [f'(text: "{text}")' for text in (USER, ids.send, ids.delivery, ids.notification)],
        "pausedChannels": [""],
        "providers": [""],
        "queues": [""],
        "send": [f'(id: "{ids.send}")'],
        "sends": ["(first: 2)"],
        "simulate": [f"(input: {simulated})"],
        "topics": ["(first: 2)"],
        "user": [f'(id: "{USER}")'],
        "users": ["(first: 2)"],
        "webPushKey": [""],
    }


def operations(ids: Ids) -> list[SchemaPath]:
    arguments = root_arguments(ids)
    allowed = {name for kind, name, _, staff, _ in rules() if kind == "query" and staff == "viewer"}
    assert arguments.keys() == allowed, "a query that viewers may use needs its arguments here"
    return [
        path
        for name, each in arguments.items()
        for given in each  # what is below the records of `find` is also below the other queries
        for path in paths("query", name, given, depth=2 if name == "find" else DEPTH_MAX)
    ]


async def execute_as(tenant: Tenant, role: Role, query: str, **variables: Any) -> Json:
    """Execute a query. Return the response. A busy database may be unavailable for a moment."""
    headers = {"authorization": f"Bearer {tenant.token('ann', role=role)}"}

    async def available() -> Json | None:
        response = await tenant.execute_raw(query, headers=headers, **variables)
        codes = [error["extensions"]["code"] for error in response.get("errors", [])]
        return None if "UNAVAILABLE" in codes else response

    response: Json = await eventually(available)
    return response


async def test_no_text_of_the_schema_shows_a_viewer_personal_data(tenant: Tenant, database: Database) -> None:
    ids = await create_marked_data(tenant, database)
    every = operations(ids)
    limit = asyncio.Semaphore(AT_ONCE)
    leaks: list[str] = []
    found: set[str] = set()

    async def check(path: SchemaPath) -> None:
        async with limit:
            response = await execute_as(tenant, Role.VIEWER, path.operation)
            control = await execute_as(tenant, Role.SUPPORT, path.operation)
        is_configured = path.leaves != ("webPushKey",)
        if contains_mark(response) or (is_configured and "errors" in response):
            leaks.append(f"{path.operation}: {response}")
        for leaf in path.leaves:
            if any(contains_mark(value) for value in values_of(control.get("data"), leaf)):
                found.add(f"{path.type_name}.{leaf}")

    await asyncio.gather(*map(check, every))
    assert not leaks
    assert found >= MASKED, MASKED - found


async def test_subscriptions_show_a_viewer_no_personal_data(tenant: Tenant, database: Database) -> None:
    ids = await create_marked_data(tenant, database)
    arguments = {"send": f'(id: "{ids.send}")', "receipts": f'(sendId: "{ids.send}")'}
    assert arguments.keys() == {n for kind, n, _, staff, _ in rules() if kind == "subscription" and staff == "viewer"}

    async def first_event(query: str, role: Role) -> Json:
        headers = {"authorization": f"Bearer {tenant.token('ann', role=role)}", "accept": "text/event-stream"}
        async with tenant.http.post(tenant.next_url(), json={"query": query}, headers=headers) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    event: Json = json.loads(line.removeprefix(b"data: "))
                    return event
        raise AssertionError(f"no event: {query}")

    for name, given in arguments.items():
        for path in paths("subscription", name, given, depth=5):
            event = await first_event(path.operation, Role.VIEWER)
            assert "errors" not in event, (path.operation, event)
            assert not contains_mark(event), path.operation
    titled = f"subscription {{ send{arguments['send']} {{ t: title }} }}"
    assert (await first_event(titled, Role.VIEWER))["data"]["send"] == {"t": "***"}
    assert (await first_event(titled, Role.SUPPORT))["data"]["send"] == {"t": MARK}


async def test_masked_values_are_recognizable(tenant: Tenant, database: Database) -> None:
    await create_marked_data(tenant, database)
    query = f'query {{ user(id: "{USER}") {{ id who: name ...F ...F suppressions {{ address }} }} }} fragment F on User {{ email phone attributes }}'
    assert (await execute_as(tenant, Role.VIEWER, query))["data"]["user"] == {
        "id": USER,
        "who": "***",
        "email": mask_email(EMAIL),
        "phone": mask_phone(PHONE),
        "attributes": "***",
        "suppressions": [{"address": mask_address(f"whatsapp:{PHONE}")}, {"address": mask_email(EMAIL)}],
    }


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("anna@example.org", "a***@e***.org"),
        ("a.b@mail.example.co", "a***@m***.co"),
        ('"a@b"@example.org', '"***@e***.org'),
        ("no domain@host", "***"),
        ("+49151234567813", "+49**********13"),
        ("112", "***"),
        ("whatsapp:+49151234567813", "whatsapp:+49**********13"),
    ],
)
def test_mask_of_an_address_hides_all_but_its_ends(address: str, masked: str) -> None:
    assert mask_address(address) == masked
    assert mask_address(masked) == masked  # masked again, it stays the same


async def test_viewer_finds_by_whole_ids_only(tenant: Tenant, database: Database) -> None:
    ids = await create_marked_data(tenant, database)
    query = "query ($t: String!) { find(text: $t) { id foundBy } }"

    async def find(text: str, role: Role = Role.VIEWER) -> list[str]:
        return [result["id"] for result in (await execute_as(tenant, role, query, t=text))["data"]["find"]]

    for text in (MARK, EMAIL, MARK[:4], PHONE, PHONE[:6], USER[:2]):
        assert await find(text) == []
        assert await find(text, Role.SUPPORT) != []
    for text in (USER, ids.send, ids.delivery, ids.notification, f"key-of-{tenant.name}"):
        assert len(await find(text)) == 1


@pytest.mark.parametrize(
    "query",
    [
        f'{{ users(search: "{MARK}") {{ nodes {{ id }} }} }}',
        f'{{ user(id: "{USER}") {{ inbox(filter: {{search: "{MARK}"}}) {{ nodes {{ id }} }} }} }}',
        f'{{ user(id: "{USER}") {{ inbox(filter: {{tags: ["{MARK}"]}}) {{ nodes {{ id }} }} }} }}',
        f'{{ deliveries(filter: {{error: "{MARK}"}}) {{ totalCount }} }}',
        f'{{ sends {{ nodes {{ deliveries(filter: {{error: "{MARK}"}}) {{ totalCount }} }} }} }}',
        f'{{ simulate(input: {{to: {{where: {{field: "email", eq: "{EMAIL}"}}}}, category: "c"}}) {{ userId }} }}',
        f'{{ simulate(input: {{to: {{users: ["{USER}"]}}, category: "c"}}, enrich: true) {{ userId }} }}',
        f'{{ audience(to: {{where: {{field: "email", eq: "{EMAIL}"}}}}) {{ recipients }} }}',
    ],
)
async def test_viewer_cannot_search_in_masked_values(tenant: Tenant, database: Database, query: str) -> None:
    await create_marked_data(tenant, database)
    response = await execute_as(tenant, Role.VIEWER, query)
    assert {error["extensions"]["code"] for error in response["errors"]} == {"FORBIDDEN"}


IDS = {"after", "categories", "category", "id", "providers", "reasons", "sendId", "topic", "userId"}
"""Arguments that select by values which a viewer may read."""
DECIDED = {
    *("Query.find.text", "Query.topics.search"),  # whole ids only; topics are visible
    *(f"Query.simulate.input.{name}" for name in ("collapseKey", "data", "digest.key", "except", "idempotencyKey")),
    *(f"Query.simulate.input.{name}" for name in ("tags", "template.data", "template.key", "threadKey")),
    *(f"Query.simulate.input.{name}" for name in ("throttle.key", "to.users")),
    *(f"Query.simulate.input.content.{name}" for name in ("actionUrl", "body", "imageUrl", "title")),
    *(f"Query.simulate.input.content.actions.{name}" for name in ("key", "label", "url")),
    *(f"Query.simulate.input.content.actor.{name}" for name in ("avatarUrl", "name")),
}


def test_every_text_that_a_viewer_may_pass_is_decided() -> None:
    """A new argument that could search in masked values belongs in SEARCHES, any other one in this list."""
    fields = [f"Query.{name}" for kind, name, _, staff, _ in rules() if kind == "query" and staff == "viewer"]
    below = [
        f"{type_.name}.{name}"
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_.name not in {"Query", "Mutation", "Subscription"}
        for name in type_.fields
    ]
    texts = {text for field in [*fields, *below] for text in _text_arguments(field)}
    searched = {f"{field}.{path}" for field, each in SEARCHES.items() for path in each}
    assert {text for text in texts - searched - DECIDED if text.rpartition(".")[2] not in IDS} == set()
    assert searched - texts == {"Query.simulate.enrich"}  # it is a Boolean


def _text_arguments(field_name: str) -> set[str]:
    type_name, _, name = field_name.partition(".")
    type_: Any = SCHEMA.type_map[type_name]
    return {
        f"{field_name}.{path}" for arg, value in type_.fields[name].args.items() for path in _texts(arg, value.type, 3)
    }


def _texts(name: str, type_: Any, depth: int) -> list[str]:
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType):
        return [
            f"{name}.{path}"
            for inner, field in named.fields.items()
            if depth
            for path in _texts(inner, field.type, depth - 1)
        ]
    return [name] if named.name in {"ID", "JSON", "String"} else []
