"""Operations of one root field are projected where that is possible. A directive on that field has them executed by
graphql-core, field by field: both ways answer the same."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from hub.embedded import Mongod, Redis
from tests.client import Json, Tenant
from tests.processes import Deployment

EXECUTED = "@include(if: true)"
CONTENT = {"title": "Hello", "body": "there", "actions": [{"key": "go", "label": "Go", "url": "https://acme.example"}]}
ONE: Json = {"to": {"users": ["alice", "bob"]}, "category": "news", "content": {"title": "Hello", "body": "there"}}
KEPT: Json = ONE | {
    "idempotencyKey": "kept",
    "data": {"a": [1, None, {"b": "c"}]},
    "tags": ["x"],
    "priority": "HIGH",
    "channels": ["IN_APP"],
}
WHOLE = (
    "id userId place title body imageUrl actionUrl actions { key label url primary } data tags category categoryName priority "
    "because requireAck createdAt updatedAt seenAt readAt archivedAt snoozedUntil acknowledgedAt expiresAt"
)
SEND = "mutation ($i: SendInput!) { send(input: $i) % { duplicate send { id status category recipients createdAt } } }"

# name: whose, query, variables
ASKED: dict[str, tuple[str | None, str, Json]] = {
    "page": ("alice", f"{{ inbox(first: 3) % {{ nodes {{ {WHOLE} }} edges {{ cursor node {{ id }} }} }} }}", {}),
    "counts": ("alice", "{ inbox % { unread unseen position pageInfo { hasNextPage endCursor } } }", {}),
    "filter": ("alice", "query ($f: InboxFilter) { inbox(filter: $f) % { unread nodes { title } } }", {"f": {"tags": ["x"]}}),
    "default": ("alice", "query ($n: Int = 1) { inbox(first: $n) % { nodes { __typename id } } }", {}),
    "null": ("alice", '{ notification(id: "none") % { id } }', {}),
    "alias": ("alice", "{ mine: inbox % { n: nodes { i: id i: id a: actions { l: label } } } }", {}),
    "fragments": ("alice", "{ inbox % { ...a ... on NotificationConnection { unread } } } fragment a on NotificationConnection { nodes { id } }", {}),
    "inner directive": ("alice", "query ($x: Boolean!) { inbox % { unread @skip(if: $x) unseen } }", {"x": True}),
    "waits": ("alice", "{ inbox(first: 2) % { nodes { id deliveries { channel status reason } } } }", {}),
    "me": ("alice", "{ me % { id email createdAt } }", {}),
    "preferences": ("alice", "{ preferences % { channels { channel enabled } categories { category { key name } mutedUntil channels { channel enabled locked } } } }", {}),
    "devices": ("alice", "{ me % { devices { id kind label createdAt } } }", {}),
    "sends": (None, "{ sends(first: 2) % { nodes { id category status recipients } pageInfo { hasNextPage } } }", {}),
    "user": (None, '{ user(id: "alice") % { id email attributes } }', {}),
    "categories": (None, "{ categories % { key name required defaultChannels } }", {}),
    "simulate": (None, "query ($i: SendInput!) { simulate(input: $i) % { userId decisions { channel outcome reason dueAt title body } } }", {"i": ONE}),
    "again": (None, SEND, {"i": KEPT}),
    "marked": ("alice", "mutation { markAllRead % { unread unseen position } }", {}),
    "some fail": (
        None,
        "mutation ($i: [SendInput!]!) { sendMany(inputs: $i) % { duplicate send { id } } }",
        {"i": [KEPT, ONE | {"to": {"users": []}}, KEPT, ONE | {"category": ""}]},
    ),
    "forbidden": ("alice", SEND, {"i": ONE}),
    "not found": (None, 'mutation { cancelSend(id: "none") % { id } }', {}),
    "bad input": (None, SEND, {"i": ONE | {"category": ""}}),
    "bad argument": ("alice", "{ inbox(first: -1) % { unread } }", {}),
    "bad variable": (None, SEND, {"i": {"to": 1}}),
    "no variable": (None, SEND, {}),
    "nobody's": (None, "{ inbox % { unread } }", {}),
    "nullable fails": (None, "{ me % { id } }", {}),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tenant(servers: tuple[Mongod, Redis]) -> AsyncIterator[Tenant]:
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=1, workers=0) as hub, Tenant("projection", hub.urls) as tenant:
        await tenant.send("alice", content=CONTENT)
        await tenant.ask(SEND.replace("%", ""), i=KEPT)
        await tenant.ask("mutation { markAllRead { unread } }", user="alice")
        yield tenant


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ASKED)
async def test_projected_answer_is_the_executed_one(tenant: Tenant, name: str) -> None:
    user, query, variables = ASKED[name]
    projected = await tenant.answer(query.replace("%", ""), user=user, **variables)
    executed = await tenant.answer(query.replace("%", EXECUTED), user=user, **variables)
    assert plain(projected) == plain(executed)
    assert list(projected) == list(executed)
    refused = name in {"forbidden", "not found", "nobody's", "nullable fails"} or name.startswith(("bad", "no var"))
    assert ("errors" in projected) == (refused or name == "some fail"), projected


def plain(answer: Json) -> Any:
    """Without places in the text, which differ."""
    errors = [
        {name: error.get(name) for name in ("message", "path", "extensions")} for error in answer.get("errors", [])
    ]
    return answer.get("data", "none"), errors
