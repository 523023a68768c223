"""Webhook endpoints of tenants, and calls to them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hub.ids import new_id
from hub.model import (
    Attempt,
    Channel,
    DeliveryStatus,
    Notification,
    PendingReceipt,
    Priority,
    Receipt,
    ReceiptKind,
    Role,
    WebhookEndpoint,
    document,
    mailbox_of,
)
from hub.platform.connections import Database
from hub.webhooks.webhook_calls import calls_for_receipt
from tests.client import GraphQLErrors, Json, Tenant

ENDPOINT = "id url events enabled disabledReason createdAt"
CREATE = f"mutation ($input: WebhookInput!) {{ createWebhook(input: $input) {{ secret endpoint {{ {ENDPOINT} }} }} }}"
UPDATE = f"mutation ($id: ID!, $url: String, $events: [String!], $enabled: Boolean) {{ updateWebhook(id: $id, url: $url, events: $events, enabled: $enabled) {{ {ENDPOINT} }} }}"
ROTATE = f"mutation ($id: ID!) {{ rotateWebhookSecret(id: $id) {{ secret endpoint {{ {ENDPOINT} }} }} }}"
DELETE = "mutation ($id: ID!) { deleteWebhook(id: $id) }"
REPLAY = "mutation ($ids: [ID!]!) { replayWebhookCalls(ids: $ids) }"
TEST = "mutation ($id: ID!) { testWebhook(id: $id) { id event status payload } }"
LIST = f"{{ webhooks {{ {ENDPOINT} }} }}"
CALLS = """query ($statuses: [DeliveryStatus!], $first: Int, $after: String) { webhooks { id
  calls(statuses: $statuses, first: $first, after: $after) {
    edges { cursor } pageInfo { hasNextPage endCursor }
    nodes { id event status dueAt createdAt attempts { at ok provider error durationMs } } } } }"""
URL = "https://hooks.example.org/in?token=abc"
NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
FAR_FUTURE = datetime(2090, 1, 1, tzinfo=UTC)


async def post_as(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Json:
    user = "alice" if role is Role.USER else None
    headers = {"authorization": f"Bearer {tenant.token(user, role=role)}"}
    body = {"query": query, "variables": variables}
    async with tenant.http.post(tenant.next_url(), json=body, headers=headers) as response:
        received: Json = await response.json()
        return received


async def execute_as(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Any:
    """Return the one field of the data. Raise GraphQLErrors if there are errors."""
    received = await post_as(tenant, query, role, **variables)
    if "errors" in received:
        raise GraphQLErrors(received["errors"])
    [value] = received["data"].values()
    return value


async def create_endpoint(tenant: Tenant, url: str = URL, events: list[str] | None = None) -> tuple[str, str]:
    """Return the id and the secret of a new endpoint."""
    created = await execute_as(tenant, CREATE, input={"url": url, "events": events})
    return created["endpoint"]["id"], created["secret"]


async def stored_tenant(database: Database, tenant: Tenant) -> Json:
    found: Json = await database.tenants.find_one({"_id": tenant.name}) or {}
    return found


async def error_of(tenant: Tenant, query: str, role: Role = Role.ADMIN, **variables: Any) -> Json:
    with pytest.raises(GraphQLErrors) as refused:
        await execute_as(tenant, query, role, **variables)
    [error] = refused.value.errors
    return {"message": error["message"], **error["extensions"]}


def new_notification(tenant: str = "acme", **options: Any) -> Notification:
    fields: dict[str, Any] = {
        "id": new_id(),
        "mailbox": mailbox_of(tenant, "alice"),
        "send": new_id(),
        "category": "builds",
        "title": "A private headline",
        "body": "",
        "priority": Priority.HIGH,
        "because": "",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Notification(**fields | options)


def new_receipt(n: Notification, kind: ReceiptKind = ReceiptKind.READ) -> Receipt:
    """Return the receipt of a user's action in the inbox."""
    return PendingReceipt(n, Channel.IN_APP, kind=kind).stored(new_id(), NOW)


def new_endpoint(id: str = "", *events: str, **fields: Any) -> WebhookEndpoint:
    return WebhookEndpoint(id=id or new_id(), url=URL, events=events, secrets=("whsec_AAAA",), created_at=NOW, **fields)


async def insert_calls(database: Database, tenant: Tenant, id: str, statuses: list[DeliveryStatus]) -> list[str]:
    """Insert calls to an endpoint with those statuses, as transactions write them. Return their ids, oldest first."""
    created = []
    for status in statuses:
        n = new_notification(tenant.name)
        [call] = calls_for_receipt(new_receipt(n), n, [new_endpoint(id)], NOW)
        call["status"] = status
        call["due_at"] = FAR_FUTURE  # so no worker takes it
        if status is DeliveryStatus.FAILED:
            tried = [
                Attempt(at=NOW, provider="endpoint", error="HTTP 500", ms=12),
                Attempt(at=NOW, provider="endpoint"),
            ]
            call |= {
                "attempts": [document(one) for one in tried],
                "tries": 2,
                "lease_expirations": 2,
                "reason": "ATTEMPTS_USED_UP",
            }
            del call["due_at"]
        created.append(call)
    await database.webhook_calls.insert_many(created)
    return [call["_id"] for call in created]
