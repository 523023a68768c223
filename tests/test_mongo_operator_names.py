"""User text that contains MongoDB operators and paths: dollar signs, dots, empty keys, and names of JavaScript."""

import asyncio
from typing import Any

import pytest

from hub.model import mailbox_of
from hub.platform.connections import Database
from tests.client import Tenant
from tests.preference_calls import UPDATE_PREFERENCES

NAMES = ("$gone", "$set", "$$ROOT", "$expr", "a.b", ".", "$.x", "__proto__", "constructor", "0", "toString")
ADDRESSES = [f"{name.strip('.') or 'dot'}@people.example" for name in NAMES]
ODD: dict[str, Any] = {name: {name: [name]} for name in (*NAMES, "", " ")}


@pytest.mark.usefixtures("no_internal_errors")
async def test_suppressed_address_with_operators_allows_changes_of_its_user(tenant: Tenant, database: Database) -> None:
    """Preferences, devices and suppressions of that user can still be changed."""
    await tenant.execute('mutation { upsertUsers(users: [{id: "alice"}]) { id } }')
    suppressed = {address.lower(): "bounced" for address in ADDRESSES}
    alice = {"_id": mailbox_of(tenant.name, "alice")}
    await database.users.update_one(alice, {"$set": {"suppressed": suppressed}})
    await tenant.execute(UPDATE_PREFERENCES, user="alice", input={"channels": [{"channel": "EMAIL", "enabled": False}]})
    await tenant.execute('mutation { connectWebhook(url: "https://hooks.example/a") { secret } }', user="alice")
    query = 'mutation ($a: String!) { liftSuppression(userId: "alice", address: $a) }'
    for address in ADDRESSES:
        assert await tenant.execute_as_admin(query, a=address) == {"liftSuppression": True}
    assert "suppressed" not in (await database.users.find_one(alice) or {})


@pytest.mark.usefixtures("no_internal_errors")
async def test_names_with_operators_are_stored_and_returned_unchanged(tenant: Tenant) -> None:
    """Ids, categories, tags, action keys, data and values of attributes, in everything that writes and reads them."""
    upsert = "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id attributes } }"
    attributes = {"value": [*NAMES, ""], "": {" ": "$x"}, "created_at": {"secret": 1}, "__proto__": {"constructor": 0}}
    users = [{"id": name, "attributes": attributes} for name in NAMES]
    assert (await tenant.execute(upsert, u=users))["upsertUsers"] == users
    query = "{ inbox { nodes { category tags data actions { key } } } }"
    for name in NAMES:
        actions = {"actions": [{"key": name, "label": name, "url": "https://a.example/"}]}
        sent = await tenant.send(name, category=name, tags=[name], data=ODD, content=actions, idempotencyKey=name)
        again = await tenant.send(name, category=name, tags=[name], data=ODD, content=actions, idempotencyKey=name)
        assert (again["duplicate"], again["send"]["id"]) == (True, sent["send"]["id"])
        [n] = (await tenant.execute(query, user=name))["inbox"]["nodes"]
        assert n == {"category": name, "tags": [name], "data": ODD, "actions": [{"key": name}]}
        assert len((await tenant.inbox(name, categories=[name], tags=[name]))["nodes"]) == 1
        await tenant.define_category(name)
        off = {"categories": [{"category": name, "channel": "EMAIL", "enabled": False}]}
        await tenant.execute(UPDATE_PREFERENCES, user=name, input=off)
        filtered = await tenant.execute("query ($c: String!) { sends(category: $c) { nodes { id } } }", c=name)
        assert len(filtered["sends"]["nodes"]) == 1
    await asyncio.gather(*(tenant.mark_all(name, "markAllRead", categories=[name]) for name in NAMES))
    for name in NAMES:
        assert (await tenant.inbox(name))["unread"] == 0
        exported = (await tenant.execute_as_admin("mutation ($id: ID!) { exportUser(id: $id) }", id=name))["exportUser"]
        assert exported["profile"]["attributes"] == attributes
        assert (await tenant.execute_as_admin("mutation ($id: ID!) { deleteUser(id: $id) }", id=name)) == {
            "deleteUser": True
        }
