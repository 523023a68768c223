"""The demo data of `hub dev`, created once through the API: two users with addresses, templates, topics, a rule, and
notifications.

No message leaves the machine: example.org and the phone numbers are reserved, and alice's webhook and chats point to
the hub itself.
"""

import json
from collections.abc import Mapping
from typing import Any

from hub.cli.api_client import execute

USER_QUERY = '{ user(id: "alice") { attributes } }'
UPSERT_CATEGORY = "mutation ($category: CategoryInput!) { upsertCategory(input: $category) { key } }"
UPSERT_TEMPLATE = "mutation ($template: TemplateInput!) { upsertTemplate(input: $template) { version } }"
UPSERT_USERS = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"
UPSERT_TOPIC = "mutation ($topic: TopicInput!) { upsertTopic(input: $topic) { key } }"
SUBSCRIBE = "mutation ($topic: String!, $users: [ID!]!) { subscribeToTopic(topic: $topic, users: $users) }"
UPSERT_RULE = "mutation ($rule: RuleInput!) { upsertRule(input: $rule) { key } }"
REGISTER_WEB_PUSH = "mutation ($device: WebPushInput!) { registerWebPush(input: $device) { id } }"
REGISTER_MOBILE_DEVICE = "mutation ($device: MobileDeviceInput!) { registerMobileDevice(input: $device) { id } }"
CONNECT_WEBHOOK = "mutation ($to: String!) { connectWebhook(url: $to) { device { id } } }"
CONNECT_CHAT = (
    "mutation ($kind: DeviceKind!, $to: String!, $label: String) { connectChat(kind: $kind, url: $to, label: $label) "
    "{ id } }"
)
SEND_MANY = "mutation ($sends: [SendInput!]!) { sendMany(inputs: $sends) { duplicate } }"

SEND_TEXT = (
    'mutation { send(input: {to: {users: ["alice"]}, category: "news", '
    'content: {title: "Hello", body: "It works."}}) { send { id } } }'
)
SEND_BODY = json.dumps({"query": SEND_TEXT})
"""The body of the HTTP request in the greeting."""

USERS = [
    {
        "id": "alice",
        "email": "alice@example.org",
        "phone": "+12025550101",
        "locale": "en",
        "timezone": "Europe/Berlin",
    },
    {
        "id": "bob",
        "email": "bob@example.org",
        "phone": "+12025550102",
        "locale": "en",
        "timezone": "America/New_York",
    },
]


def _send(key: str, users: list[str], category: str, title: str, body: str, **fields: Any) -> dict[str, Any]:
    content = {"title": title, "body": body, **fields.pop("content", {})}
    return {
        "to": {"users": users},
        "category": category,
        "content": content,
        "idempotencyKey": f"hub-dev-demo-{key}",
        **fields,
    }


SENDS = [
    _send(
        "welcome",
        ["alice", "bob"],
        "product",
        "Welcome to the team space",
        "Updates on your projects, reviews and invoices appear here.",
    ),
    {
        "to": {"users": ["alice"]},
        "category": "billing",
        "template": {"key": "invoice"},
        "data": {"invoice": "2026-118", "amount": "240.00", "currency": "EUR"},
        "idempotencyKey": "hub-dev-demo-invoice",
    },
    _send(
        "review",
        ["alice"],
        "reviews",
        "Bob asks for your review",
        "Retry failed payments: 4 files, 120 lines.",
        content={
            "actions": [{"key": "open", "label": "Review", "url": "/app/changes/412", "primary": True}],
            "actor": {"name": "Bob Meyer"},
        },
        tags=["payments"],
    ),
    _send(
        "deploy",
        ["bob"],
        "deploys",
        "Deploy of web-7 failed",
        "The health check did not respond within 30 s. The previous version is still running.",
        priority="HIGH",
        requireAck=True,
    ),
]


TEMPLATES: list[dict[str, Any]] = [
    {
        "key": "invoice",
        "title": "Invoice {{ invoice }} is ready",
        "body": "{{ amount | currency: currency }}, due in 14 days.",
        "actionUrl": "/app/invoices/{{ invoice }}",
    },
    {
        "key": "invoice",
        "locale": "de",
        "title": "Rechnung {{ invoice }} ist da",
        "body": "{{ amount | currency: currency }}, zahlbar in 14 Tagen.",
        "actionUrl": "/app/invoices/{{ invoice }}",
    },
    {
        "key": "deploy-failed",
        "title": "Deploy of {{ service }} failed",
        "body": "{{ reason }} The previous version is still running.",
        "actionUrl": "/app/deploys/{{ service }}",
        "sample": {"service": "web-9", "reason": "The health check did not respond within 30 s."},
    },
]
CATEGORIES = [
    {"key": "product", "name": "Product news", "defaultChannels": ["IN_APP", "EMAIL"]},
    {"key": "billing", "name": "Invoices", "defaultChannels": ["IN_APP", "EMAIL"], "required": True},
    {"key": "reviews", "name": "Reviews", "defaultChannels": ["IN_APP", "WEB_PUSH", "WEBHOOK"]},
    {"key": "deploys", "name": "Deploys", "defaultChannels": ["IN_APP", "EMAIL", "MOBILE_PUSH"], "priority": "HIGH"},
    {"key": "marketing", "name": "Offers", "defaultChannels": ["IN_APP", "EMAIL"], "priority": "LOW"},
]
TOPICS = [
    {"key": "releases", "name": "Releases", "description": "New versions of our products.", "visible": True},
    {"key": "incidents", "name": "Incidents", "description": "Outages and their causes.", "visible": True},
    {"key": "roadmap", "name": "Roadmap 2027", "description": "Changes and comments.", "visible": True},
]
FOLLOWERS = {"releases": ["alice", "bob"], "incidents": ["bob"], "roadmap": ["alice"]}
RULE = {
    "key": "order-shipped",
    "name": "Shipped orders",
    "type": "com.example.order.shipped",
    "to": {"users": "data.user"},
    "category": "product",
    "content": {"title": "Order {{ event.data.order }} is on its way", "body": "It arrives in two days."},
    "channels": ["IN_APP"],
}
"""Sends for the event that the demo page publishes."""
P256_BASE_POINT = (
    "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"  # the base point of P-256
)
ALICE_BROWSER = {
    "endpoint": "https://push.example.org/alice",
    "p256dh": P256_BASE_POINT,
    "auth": "A" * 22,
    "label": "Firefox",
}
ALICE_CHATS = {"SLACK": "#payments", "DISCORD": "Game night", "TEAMS": "Payments team"}
BOB_PHONE = {"platform": "fcm", "token": "bobs-phone", "label": "Pixel"}


async def create_demo_data(url: str, admin_token: str, user_tokens: Mapping[str, str]) -> None:
    """Create the demo data that does not exist yet. Raise ApiError or HubUnreachable.

    The attributes of the users are set last: if they exist, the demo data is complete. The next start completes an
    interrupted run; idempotency keys prevent duplicates. `user_tokens` maps user ids to tokens.
    """
    existing = await execute(url, admin_token, USER_QUERY)
    if existing["user"] is not None and existing["user"]["attributes"] is not None:
        return
    for category in CATEGORIES:
        await execute(url, admin_token, UPSERT_CATEGORY, category=category)
    for template in TEMPLATES:
        await execute(url, admin_token, UPSERT_TEMPLATE, template=template)
    await execute(url, admin_token, UPSERT_USERS, users=USERS)
    for topic in TOPICS:
        await execute(url, admin_token, UPSERT_TOPIC, topic=topic)
        await execute(url, admin_token, SUBSCRIBE, topic=topic["key"], users=FOLLOWERS[str(topic["key"])])
    await execute(url, admin_token, UPSERT_RULE, rule=RULE)
    await execute(url, user_tokens["alice"], REGISTER_WEB_PUSH, device=ALICE_BROWSER)
    await execute(url, user_tokens["bob"], REGISTER_MOBILE_DEVICE, device=BOB_PHONE)
    await execute(url, user_tokens["alice"], CONNECT_WEBHOOK, to=f"{url}/dev/hook")
    for kind, label in ALICE_CHATS.items():
        await execute(url, user_tokens["alice"], CONNECT_CHAT, kind=kind, to=f"{url}/dev/hook", label=label)
    await execute(url, admin_token, SEND_MANY, sends=SENDS)
    await execute(
        url, admin_token, UPSERT_USERS, users=[{"id": user["id"], "attributes": {"team": "payments"}} for user in USERS]
    )
