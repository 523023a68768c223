"""The mutation `act`: one action per notification, live on all devices, with a receipt."""

import asyncio
from typing import Any

import pytest

from tests.client import GraphQLErrors, Json, Tenant
from tests.inbox_data import FAR_FUTURE

ACTIONS = [
    {"key": "approve", "label": "Approve", "primary": True},
    {"key": "reject", "label": "Reject"},
    {"key": "diff", "label": "Diff", "url": "/changes/7"},
]
NODE = "id actedKey actedAt readAt seenAt archivedAt actions { key }"
ACT = f"mutation ($id: ID!, $key: String!) {{ act(id: $id, key: $key) {{ changed unread unseen position notifications {{ {NODE} }} }} }}"
FEED = f"subscription ($after: Cursor) {{ inbox(after: $after) {{ kind cursor unread unseen notification {{ {NODE} }} }} }}"
RECEIPTS = "subscription ($sendId: ID) { receipts(sendId: $sendId) { kind channel actionKey status } }"


async def new_notification(tenant: Tenant, user: str = "alice", **more: Any) -> Json:
    """Send a notification with actions. Return it with its page's position."""
    await tenant.send(user, content={"actions": ACTIONS}, **more)
    page = (await tenant.execute(f"{{ inbox(first: 1) {{ position nodes {{ {NODE} }} }} }}", user=user))["inbox"]
    return {**page["nodes"][0], "position": page["position"]}


async def act(tenant: Tenant, id: str, key: str, user: str = "alice") -> Json:
    payload: Json = (await tenant.execute(ACT, user=user, id=id, key=key))["act"]
    return payload


async def code_of(tenant: Tenant, id: str, key: str, user: str = "alice") -> tuple[str, str | None]:
    """Return the code and the field of the error."""
    with pytest.raises(GraphQLErrors) as raised:
        await act(tenant, id, key, user)
    extensions = raised.value.errors[0]["extensions"]
    return extensions["code"], extensions.get("field")


async def test_first_action_counts_on_all_devices_and_marks_read(tenant: Tenant) -> None:
    n = await new_notification(tenant)
    assert (n["actedKey"], n["actedAt"]) == (None, None)
    async with tenant.feed("alice", n["position"], query=FEED) as feed:
        payload = await act(tenant, n["id"], "approve")
        [event] = await feed.take(1)
        [acted] = payload["notifications"]
        assert (event["kind"], event["notification"]) == ("UPDATED", acted)
        assert (acted["actedKey"], acted["actedAt"]) == ("approve", acted["readAt"])
        assert (payload["changed"], payload["unread"], payload["unseen"]) == (1, 0, 0)
        assert (event["unread"], event["unseen"]) == (0, 0)
        await tenant.mark("alice", "markUnread", n["id"])
        again = await act(tenant, n["id"], "approve")
        assert (again["changed"], again["notifications"], again["unread"]) == (0, [], 1)
        assert await code_of(tenant, n["id"], "reject") == ("CONFLICT", None)
        await tenant.mark("alice", "archive", n["id"])
        kinds = [(event["kind"], event["notification"]["actedKey"]) for event in await feed.take(2)]
        assert kinds == [("UPDATED", "approve")] * 2, "the repeated and the refused action cause no event"
    stored = (await tenant.execute(f'{{ notification(id: "{n["id"]}") {{ {NODE} }} }}', user="alice"))["notification"]
    assert (stored["actedKey"], stored["actedAt"], stored["readAt"]) == ("approve", acted["actedAt"], None)


async def test_concurrent_actions_of_two_devices_take_one(tenant: Tenant) -> None:
    """The two processes commit at the same time."""
    n = await new_notification(tenant)
    calls = [
        tenant.execute_raw(ACT, user="alice", url=url, id=n["id"], key=key)
        for url in tenant.urls
        for key in ("approve", "reject")
    ]
    responses = await asyncio.gather(*calls)
    changed = sum(response["data"]["act"]["changed"] for response in responses if response["data"])
    codes = [response["errors"][0]["extensions"]["code"] for response in responses if "errors" in response]
    assert (changed, codes) == (1, ["CONFLICT"] * len(tenant.urls))


async def test_only_an_action_of_an_own_notification_can_be_taken(tenant: Tenant) -> None:
    n = await new_notification(tenant)
    assert await code_of(tenant, n["id"], "merge") == ("BAD_USER_INPUT", "key")
    assert await code_of(tenant, n["id"], "") == ("BAD_USER_INPUT", "key")
    assert (await code_of(tenant, n["id"], "approve", user="bob"))[0] == "NOT_FOUND"
    assert (await code_of(tenant, "no-such-id", "approve"))[0] == "NOT_FOUND"
    await tenant.mark("alice", "snooze", n["id"], until=FAR_FUTURE)
    assert (await act(tenant, n["id"], "diff"))["notifications"][0]["actedKey"] == "diff", "also one with a URL"


async def test_receipts_and_export_contain_the_action(tenant: Tenant) -> None:
    n = await new_notification(tenant)
    send = (await tenant.execute("{ sends(first: 1) { nodes { id } } }"))["sends"]["nodes"][0]["id"]
    for _ in range(2):
        await act(tenant, n["id"], "reject")
    async with tenant.socket() as socket:
        receipts = await (await socket.subscribe(RECEIPTS, sendId=send)).take(4)
    assert [(r["kind"], r["channel"], r["actionKey"], r["status"]) for r in receipts] == [
        ("DELIVERY", "IN_APP", None, "DELIVERED"),
        ("SEEN", "IN_APP", None, None),
        ("READ", "IN_APP", None, None),
        ("ACTED", "IN_APP", "reject", None),
    ]
    query = "mutation ($id: ID!) { exportUser(id: $id) }"
    exported = (await tenant.execute_as_admin(query, id="alice"))["exportUser"]
    assert exported["notifications"][0]["actedKey"] == "reject"
    assert [row["actionKey"] for row in exported["receipts"] if row["kind"] == "ACTED"] == ["reject"]


async def test_newer_notification_with_the_collapse_key_has_its_own_action(tenant: Tenant) -> None:
    older = await new_notification(tenant, collapseKey="deploy")
    await act(tenant, older["id"], "approve")
    newer = await new_notification(tenant, collapseKey="deploy")
    assert (newer["actedKey"], newer["actedAt"]) == (None, None)
    assert (await code_of(tenant, older["id"], "approve"))[0] == "NOT_FOUND", "it was replaced"
    assert (await act(tenant, newer["id"], "reject"))["notifications"][0]["actedKey"] == "reject"
