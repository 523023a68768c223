"""The requests and messages that the load client sends, and the files that contain them."""

from typing import Any

import orjson

from hub.api.token_signing import sign_token
from hub.bench.benchmark_servers import SECRET, BenchEnvironment
from hub.model import Role

TENANT = "bench"
TOKEN_LIFETIME_S = 86_400.0
USER_PLACEHOLDER = "######"  # replaced by the load client with the number of a user
TIME_PLACEHOLDER = "@" * 19  # replaced by the load client with the time
TEXT = "x" * 120

SEND = "mutation($input: SendInput!) { send(input: $input) { send { id } duplicate } }"
SEND_MANY = "mutation($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { send { id } duplicate } }"
SUBSCRIBE = "subscription { inbox { kind cursor unread unseen notification { id title body category createdAt } } }"


def user_id(number: int) -> str:
    return f"u{number:06d}"


def send_input(*users: str) -> dict[str, Any]:
    to = {"users": list(users) or [f"u{USER_PLACEHOLDER}"]}
    return {"to": to, "category": "bench", "content": {"title": TIME_PLACEHOLDER, "body": TEXT}}


def template_input(key: str) -> dict[str, Any]:
    """Return a send with a template whose texts are as long as those of `send_input`."""
    data = {"title": TIME_PLACEHOLDER, "text": TEXT}
    return {"to": {"users": [f"u{USER_PLACEHOLDER}"]}, "category": "bench", "template": {"key": key, "data": data}}


def operation(query: str, **variables: Any) -> bytes:
    return orjson.dumps({"query": query, "variables": variables})


def operation_id() -> str:
    """Return an id with the same length as ids of clients."""
    return f"{USER_PLACEHOLDER}00-0000-4000-8000-000000000000"


def write_request(env: BenchEnvironment, name: str, body: bytes, user: str | None = None) -> object:
    """Write a complete HTTP request that a service or `user` sends. Return the file."""
    token = sign_token(
        SECRET, user=user, tenant=TENANT, role=Role.USER if user else Role.SERVICE, expires_in_s=TOKEN_LIFETIME_S
    )
    head = (
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return env.write_file(f"{name}.http", head.encode() + body)


def write_subscribers(
    env: BenchEnvironment, count: int, name: str = "all", since: int = 0, *, query: str = SUBSCRIBE, **variables: Any
) -> dict[str, object]:
    """Write the files for one socket per user, starting with user number `since`."""
    users = [user_id(number) for number in range(since, since + count)]
    tokens = [
        sign_token(SECRET, user=user, tenant=TENANT, role=Role.USER, expires_in_s=TOKEN_LIFETIME_S) for user in users
    ]
    message = {"id": operation_id(), "type": "subscribe", "payload": {"query": query, "variables": variables}}
    return {
        "tokens": env.write_file(f"tokens-{name}", "\n".join(tokens)),
        "subscribe": env.write_file("subscribe.json", orjson.dumps(message)),
    }


def event_message() -> bytes:
    """Return a message with the same length as a message of the hub."""
    notification = {
        "id": "0" * 36,
        "title": TIME_PLACEHOLDER,
        "body": TEXT,
        "category": "bench",
        "createdAt": "2026-11-20T08:15:30.000Z",
    }
    event = {"kind": "ADDED", "cursor": "0" * 28, "unread": 10, "unseen": 10, "notification": notification}
    return orjson.dumps({"id": operation_id(), "type": "next", "payload": {"data": {"inbox": event}}})
