"""Webhook endpoints of tenants: roles, secrets, events, limits and disabling."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from msgspec.structs import replace

from hub import utc_time
from hub.ids import new_id
from hub.model import (
    DeliveryStatus,
    Role,
    WebhookEndpoint,
)
from hub.platform.connections import Database
from hub.platform.encryption import Encryption
from hub.settings import Settings
from hub.webhooks.endpoints import Endpoints
from hub.webhooks.events import EVENTS
from tests.client import Json, Tenant
from tests.clocks import hub_now
from tests.processes import Deployment
from tests.webhook_data import (
    CALLS,
    CREATE,
    DELETE,
    LIST,
    REPLAY,
    ROTATE,
    TEST,
    UPDATE,
    URL,
    create_endpoint,
    error_of,
    execute_as,
    insert_calls,
    post_as,
    stored_tenant,
)


@pytest.fixture
async def other(deployment: Deployment) -> AsyncIterator[Tenant]:
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.mark.parametrize("role", [Role.USER, Role.SERVICE])
async def test_webhooks_require_the_admin_role(tenant: Tenant, database: Database, role: Role) -> None:
    id, _ = await create_endpoint(tenant)
    before = await stored_tenant(database, tenant)
    for query, variables in (
        (LIST, {}),
        (CREATE, {"input": {"url": URL}}),
        (UPDATE, {"id": id, "enabled": False}),
        (ROTATE, {"id": id}),
        (DELETE, {"id": id}),
        (REPLAY, {"ids": [new_id()]}),
        (TEST, {"id": id}),
    ):
        assert (await error_of(tenant, query, role, **variables))["code"] == "FORBIDDEN"
    assert await stored_tenant(database, tenant) == before


async def test_secret_is_shown_once_and_the_endpoint_is_unchanged(tenant: Tenant, database: Database) -> None:
    created = await execute_as(
        tenant, CREATE, input={"url": URL, "events": ["notification.read", "delivery.failed", "notification.read"]}
    )
    endpoint = created["endpoint"]
    assert created["secret"].startswith("whsec_")
    assert endpoint | {"id": "", "createdAt": ""} == {
        "id": "",
        "createdAt": "",
        "url": URL,
        "events": ["notification.read", "delivery.failed"],
        "enabled": True,
        "disabledReason": None,
    }
    listed = await post_as(tenant, LIST)
    assert listed["data"]["webhooks"] == [endpoint]
    for query in (UPDATE, CALLS):
        assert (
            created["secret"]
            not in orjson.dumps(await post_as(tenant, query, id=endpoint["id"], enabled=True)).decode()
        )
    [stored] = (await stored_tenant(database, tenant))["endpoints"]
    assert stored["secrets"] == [created["secret"]]
    assert (await error_of(tenant, "{ webhooks { secrets } }"))["code"] == "BAD_USER_INPUT"


async def test_webhook_of_another_tenant_looks_missing(tenant: Tenant, other: Tenant, database: Database) -> None:
    id, _ = await create_endpoint(other)
    await insert_calls(database, other, id, [DeliveryStatus.FAILED])
    [call] = (await execute_as(other, CALLS))[0]["calls"]["nodes"]
    before = await stored_tenant(database, other)
    await create_endpoint(tenant)
    for query, variables in ((UPDATE, Json(enabled=False)), (ROTATE, Json()), (DELETE, Json()), (TEST, Json())):
        received = [await post_as(tenant, query, id=which, **variables) for which in (id, new_id())]
        for one in received:
            for error in one.get("errors", []):
                error["extensions"].pop("requestId", None)
        assert received[0] == received[1]
    assert await execute_as(tenant, REPLAY, ids=[call["id"]]) == 0
    assert [one["id"] for one in await execute_as(tenant, LIST)] != [id]
    assert await stored_tenant(database, other) == before
    assert (await execute_as(other, CALLS))[0]["calls"]["nodes"] == [call]
    assert await execute_as(other, REPLAY, ids=[call["id"]]) == 1


async def test_update_changes_only_the_given_fields(tenant: Tenant, database: Database) -> None:
    id, secret = await create_endpoint(tenant, events=["notification.read"])
    await create_endpoint(tenant, "https://second.example.org/")
    [first, second] = await execute_as(tenant, LIST)
    assert second["events"] == []
    for fields, changed in (
        ({}, {}),
        ({"url": "https://moved.example.org/x"}, {"url": "https://moved.example.org/x"}),
        ({"events": ["delivery.sent"]}, {"events": ["delivery.sent"]}),
        ({"events": None}, {"events": []}),
        ({"enabled": False}, {"enabled": False}),
        ({"url": None, "enabled": None}, {}),
        ({"enabled": True}, {"enabled": True}),
    ):
        first |= changed
        assert await execute_as(tenant, UPDATE, id=id, **fields) == first
        assert await execute_as(tenant, LIST) == [first, second]
    assert (await stored_tenant(database, tenant))["endpoints"][0]["secrets"] == [secret]


async def test_every_change_increments_the_version(tenant: Tenant, database: Database) -> None:
    versions = []

    async def note() -> None:
        versions.append((await stored_tenant(database, tenant)).get("version", 0))

    await note()
    id, _ = await create_endpoint(tenant)
    await note()
    for query, variables in ((UPDATE, Json(enabled=False)), (ROTATE, Json()), (DELETE, Json())):
        await execute_as(tenant, query, id=id, **variables)
        await note()
    assert versions == [0, 1, 2, 3, 4]
    assert await execute_as(tenant, DELETE, id=id) is False
    assert (await stored_tenant(database, tenant))["version"] == 4


async def test_rotation_keeps_the_previous_secret(tenant: Tenant, database: Database) -> None:
    id, first = await create_endpoint(tenant)
    existing = [first]
    for _ in range(3):
        created = await execute_as(tenant, ROTATE, id=id)
        assert created["endpoint"]["id"] == id
        existing.insert(0, created["secret"])
        [stored] = (await stored_tenant(database, tenant))["endpoints"]
        assert stored["secrets"] == existing[:2]
        assert abs(utc_time.now() - stored["rotated_at"]) < timedelta(minutes=1)
    assert len(set(existing)) == 4


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://2130706433/", "http://[::ffff:7f00:1]/", "http://169.254.169.254/latest"),
        *("https://user:word@hooks.example.org/", "https://hooks.example.org:8443/", "ftp://hooks.example.org/", ""),
        *("/in", "https://exämple.org/", "https://" + "a" * 2050, "javascript:alert(1)"),
    ],
)
async def test_url_that_cannot_be_called_is_rejected(tenant: Tenant, url: str) -> None:
    id, _ = await create_endpoint(tenant)
    for query, variables, field in (
        (CREATE, {"input": {"url": url}}, "input.url"),
        (UPDATE, {"id": id, "url": url}, "url"),
    ):
        refused = await error_of(tenant, query, **variables)
        assert (refused["code"], refused["field"]) == ("BAD_USER_INPUT", field)
    assert [one["url"] for one in await execute_as(tenant, LIST)] == [URL]


@pytest.mark.parametrize("events", [[], ["notification.opened"], ["notification.read", ""], ["*"], ["notification"]])
async def test_unknown_events_are_rejected_with_the_known_ones(tenant: Tenant, events: list[str]) -> None:
    id, _ = await create_endpoint(tenant)
    for query, variables in (
        (CREATE, {"input": {"url": URL, "events": events}}),
        (UPDATE, {"id": id, "events": events}),
    ):
        refused = await error_of(tenant, query, **variables)
        assert refused["code"] == "BAD_USER_INPUT"
        assert "events" in refused["field"]
        assert not events or all(event in refused["message"] for event in EVENTS)
    assert len(await execute_as(tenant, LIST)) == 1


async def test_every_event_can_be_subscribed(tenant: Tenant) -> None:
    assert (await execute_as(tenant, CREATE, input={"url": URL, "events": list(EVENTS)}))["endpoint"]["events"] == list(
        EVENTS
    )


async def test_webhook_limit_holds_for_concurrent_creation(tenant: Tenant) -> None:
    received = await asyncio.gather(*(post_as(tenant, CREATE, input={"url": URL}) for _ in range(30)))
    refused = [one["errors"][0] for one in received if "errors" in one]
    assert len(refused) == 10
    assert {error["extensions"]["code"] for error in refused} == {"TOO_LARGE"}
    assert all("HUB_TENANT_MAX_WEBHOOKS" in error["message"] for error in refused)
    listed = await execute_as(tenant, LIST)
    assert len({one["id"] for one in listed}) == 20
    assert await execute_as(tenant, DELETE, id=listed[0]["id"]) is True
    await create_endpoint(tenant)


async def test_endpoint_that_fails_for_days_is_disabled(tenant: Tenant, database: Database) -> None:
    at = hub_now()
    book = Endpoints(database, Settings(jwt_secret=("s" * 32,)), lambda: at, Encryption([]))
    id, _ = await create_endpoint(tenant)
    bystander, _ = await create_endpoint(tenant)

    async def settled(status: DeliveryStatus, copy: WebhookEndpoint | None = None) -> WebhookEndpoint:
        await book.record_result(tenant.name, copy or (await book.list_all(tenant.name))[0], status)
        return (await book.list_all(tenant.name))[0]

    fresh = (await book.list_all(tenant.name))[0]
    started_at = at
    failing = await settled(DeliveryStatus.FAILED)
    assert (failing.failing_since, failing.enabled) == (started_at, True)
    at += timedelta(days=4)
    assert (await settled(DeliveryStatus.FAILED)) == failing
    assert (await settled(DeliveryStatus.FAILED, fresh)) == failing, "an outdated copy does not restart the count"
    assert (await settled(DeliveryStatus.DELIVERED)).failing_since is None
    assert (await settled(DeliveryStatus.FAILED)).failing_since == at
    started_at = at
    at += timedelta(days=5)
    assert (await settled(DeliveryStatus.FAILED, failing)).enabled is True, "an outdated copy does not disable"
    assert (await settled(DeliveryStatus.FAILED)).enabled is False, "five days with failures only"
    [displayed, concurrent] = await execute_as(tenant, LIST)
    assert (displayed["id"], displayed["enabled"]) == (id, False)
    assert displayed["disabledReason"] == f"All calls have failed since {utc_time.rfc3339(started_at)}."
    assert (concurrent["id"], concurrent["enabled"], concurrent["disabledReason"]) == (bystander, True, None)
    back = await execute_as(tenant, UPDATE, id=id, enabled=True)
    assert (back["enabled"], back["disabledReason"]) == (True, None)
    old = replace(failing, failing_since=started_at)
    assert (await settled(DeliveryStatus.FAILED, old)).enabled is True, (
        "an outdated copy does not disable a repaired endpoint"
    )
