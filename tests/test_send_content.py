"""The title and content of a send after it was sent."""

import asyncio

from tests.client import Tenant

SEND = "mutation ($input: SendInput!) { send(input: $input) { send { id } } }"
CONTENT = "query ($id: ID!) { send(id: $id) { title content { title body imageUrl actionUrl actions { key label url primary } actor { name avatarUrl } } } }"


async def test_send_keeps_its_content_until_it_is_recalled(tenant: Tenant) -> None:
    action = {"key": "open", "label": "Open", "url": "/builds/7", "primary": True}
    content: dict[str, object] = {
        "title": "Build 7",
        "body": "Red",
        "imageUrl": None,
        "actionUrl": "/builds",
        "actions": [action],
    }
    content["actor"] = {"name": "Carol", "avatarUrl": "/carol.png"}
    id = (await tenant.execute(SEND, input={"to": {"users": ["alice"]}, "category": "news", "content": content}))[
        "send"
    ]["send"]["id"]
    assert (await tenant.execute(CONTENT, id=id))["send"] == {"title": "Build 7", "content": content}
    await tenant.execute("mutation ($id: ID!) { cancelSend(id: $id) { id } }", id=id)
    assert (await tenant.execute(CONTENT, id=id))["send"] == {"title": "Build 7", "content": content}
    await tenant.execute("mutation ($id: ID!) { recallSend(id: $id) { id } }", id=id)
    assert (await tenant.execute(CONTENT, id=id))["send"] == {"title": None, "content": None}


async def test_send_loses_its_content_with_its_last_recipient(tenant: Tenant) -> None:
    id = (await tenant.send("a", "b", "c", title="Private"))["send"]["id"]
    erase = "mutation ($id: ID!) { deleteUser(id: $id) }"
    await tenant.execute_as_admin(erase, id="a")
    assert (await tenant.execute(CONTENT, id=id))["send"]["title"] == "Private"
    await asyncio.gather(*(tenant.execute_as_admin(erase, id=user) for user in ("b", "c")))
    assert (await tenant.execute(CONTENT, id=id))["send"] == {"title": None, "content": None}
