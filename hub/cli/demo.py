"""What `hub dev` shows a newcomer: two people with a few notifications, made once through the front door."""

import json
from typing import Any

from hub.cli.door import ask

KNOWN = '{ user(id: "alice") { email } }'
FILL = """mutation ($sends: [SendInput!]!, $users: [UserInput!]!) {
  sendMany(inputs: $sends) { duplicate }
  upsertUsers(users: $users) { id }
}"""

SEND_TEXT = (
    'mutation { send(input: {to: {users: ["alice"]}, category: "news", '
    'content: {title: "Hello", body: "It works."}}) { send { id } } }'
)
SEND_BODY = json.dumps({"query": SEND_TEXT})
"""The body of the HTTP call that a newcomer tries first."""

USERS = [
    {"id": "alice", "email": "alice@example.org", "locale": "en", "timezone": "Europe/Berlin"},
    {"id": "bob", "email": "bob@example.org", "locale": "en", "timezone": "America/New_York"},
]


def _send(key: str, users: list[str], category: str, title: str, body: str, **more: Any) -> dict[str, Any]:
    content = {"title": title, "body": body, **more.pop("content", {})}
    return {
        "to": {"users": users},
        "category": category,
        "content": content,
        "idempotencyKey": f"hub-dev-demo-{key}",
        **more,
    }


SENDS = [
    _send(
        "welcome",
        ["alice", "bob"],
        "product",
        "Welcome to the team space",
        "Your projects, reviews and invoices report here from now on.",
    ),
    _send(
        "invoice",
        ["alice"],
        "billing",
        "Invoice 2026-118 is ready",
        "240.00 EUR, due in 14 days.",
        data={"invoice": "2026-118", "amount": "240.00", "currency": "EUR"},
        content={"actionUrl": "/invoices/2026-118"},
    ),
    _send(
        "review",
        ["alice"],
        "reviews",
        "Bob asks for your review",
        "Retry failed payments: 4 files, 120 lines.",
        content={"actions": [{"key": "open", "label": "Review", "url": "/changes/412", "primary": True}]},
        tags=["payments"],
    ),
    _send(
        "deploy",
        ["bob"],
        "deploys",
        "Deploy of web-7 failed",
        "The health check did not answer within 30 s. The version before it serves.",
        priority="HIGH",
        requireAck=True,
    ),
]


async def fill(url: str, token: str) -> None:
    """Makes what is not there yet. The users' profiles come last: where they are, everything is. The keys see to it
    that a fill cut short is completed, not doubled. Raises Refused and Unreachable."""
    known = await ask(url, token, KNOWN)
    if known["user"] is None or known["user"]["email"] is None:
        await ask(url, token, FILL, sends=SENDS, users=USERS)
