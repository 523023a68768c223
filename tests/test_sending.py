"""Sends, through the front door."""

import asyncio

import pytest

from tests.client import Refused, Tenant


async def test_send_to_unknown_users_makes_them_and_fills_their_inboxes(tenant: Tenant) -> None:
    sent = await tenant.send("alice", "bob", "alice", title="Hi", data={"a": [1, None]}, tags=["x"], priority="HIGH")
    assert sent["send"]["recipients"] == 2
    for user in ("alice", "bob"):
        data = await tenant.ask(
            "{ inbox { unread unseen nodes { title body data tags priority because userId } } }", user=user
        )
        [node] = data["inbox"]["nodes"]
        assert (data["inbox"]["unread"], data["inbox"]["unseen"]) == (1, 1)
        assert node["data"] == {"a": [1, None]}
        assert (node["title"], node["tags"], node["priority"], node["userId"]) == ("Hi", ["x"], "HIGH", user)
    assert (await tenant.ask('{ user(id: "bob") { id locale } }'))["user"] == {"id": "bob", "locale": "en"}


async def test_send_same_key_and_input_is_a_duplicate_and_other_input_a_conflict(tenant: Tenant) -> None:
    first = await tenant.send("alice", idempotencyKey="k")
    again = await tenant.send("alice", idempotencyKey="k")
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert first["send"] == again["send"]
    with pytest.raises(Refused) as refused:
        await tenant.send("alice", title="Other", idempotencyKey="k")
    assert refused.value.code == "CONFLICT"
    assert (await tenant.inbox("alice"))["unread"] == 1


async def test_send_200_times_at_once_with_one_key_makes_one_notification(tenant: Tenant) -> None:
    answers = await asyncio.gather(*(tenant.send("alice", idempotencyKey="k") for _ in range(200)))
    assert len({answer["send"]["id"] for answer in answers}) == 1
    assert sum(not answer["duplicate"] for answer in answers) == 1
    assert (await tenant.inbox("alice"))["unread"] == 1
