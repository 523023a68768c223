"""Changes that stop an expansion, when another call or a killed process has done only a part of the change."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from hub import utc_time
from hub.inbox.notification_lookup import Notifications
from hub.model import Category, document, mailbox_of
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.status.expanding_sends import ExpandingSends
from hub.status.scheduled_sends import ScheduledSends
from hub.status.sends import Sends
from tests.broadcasts import broadcast, create_users, expanded, get_send
from tests.channel_setup import deployment_with_channels
from tests.client import Json, Tenant, eventually
from tests.pause.sends import change
from tests.processes import Deployment
from tests.test_schedules import after

RESOLVE = "mutation ($key: String!) { resolve(collapseKey: $key) }"


class Idle(NamedTuple):
    deployment: Deployment
    tenant: Tenant
    database: Database


@pytest.fixture(scope="module")
async def waiting(servers: tuple[Mongod, Redis]) -> AsyncIterator[tuple[Deployment, Database]]:
    """A deployment whose worker does not run, so sends stay EXPANDING."""
    mongod, redis = servers
    name = f"stopped{uuid4().hex[:8]}"
    async with (
        deployment_with_channels(mongod.url, redis.url, workers=1, mongo_database=name) as (deployment, _, _),
        AsyncMongoClient(mongod.url, tz_aware=True) as client,
    ):
        deployment.workers[0].kill()
        yield deployment, client[name]


@pytest.fixture
async def idle(waiting: tuple[Deployment, Database]) -> AsyncIterator[Idle]:
    """A new tenant with a user. At the end, the worker is killed again."""
    deployment, database = waiting
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as tenant:
        await create_users(tenant, ["ann"])
        yield Idle(deployment, tenant, database)
    deployment.workers[0].kill()


async def only_part(idle: Idle, id: str) -> Json:
    [part] = await idle.database.expansion_parts.find({"send": id}).to_list()
    return part


async def test_repeated_pause_stops_the_parts(idle: Idle) -> None:
    """The first call has only marked the send so far."""
    id = (await broadcast(idle.tenant))["id"]
    await change(idle.tenant, "pauseSend", id)
    now = utc_time.now()
    claimed = {"token": "chunk", "turn_at": now, "leased_until": now + timedelta(minutes=1)}
    await idle.database.expansion_parts.update_one({"send": id}, {"$set": claimed})
    assert (await change(idle.tenant, "pauseSend", id))["status"] == "PAUSED"
    assert claimed.keys().isdisjoint(await only_part(idle, id))
    assert (await change(idle.tenant, "resumeSend", id))["status"] == "EXPANDING"
    await idle.deployment.workers[0].start()
    assert (await expanded(idle.tenant, id))["recipients"] == 1


async def test_repeated_recall_ends_the_expansion(idle: Idle) -> None:
    """The first call has only marked the send so far."""
    id = (await broadcast(idle.tenant))["id"]
    leased = {"claim": "first", "leased_until": utc_time.now() + timedelta(minutes=1)}
    await idle.database.sends.update_one({"_id": id}, {"$set": {"status": "RECALLED", **leased}})
    assert (await change(idle.tenant, "recallSend", id))["status"] == "RECALLED"
    assert "ended_at" in await only_part(idle, id)
    assert not await idle.database.sends.find_one({"_id": id, "parts_left": {"$exists": True}})


async def test_resolution_ends_a_paused_expansion(idle: Idle) -> None:
    id = (await broadcast(idle.tenant, collapseKey="outage"))["id"]
    await change(idle.tenant, "pauseSend", id)
    await idle.tenant.execute(RESOLVE, key="outage")
    ended = await get_send(idle.tenant, id)
    assert (ended["status"], ended["reason"], ended["recipients"]) == ("CANCELLED", "RESOLVED", 0)
    assert "ended_at" in await only_part(idle, id)
    assert not await idle.database.sends.find_one({"_id": id, "parts_left": {"$exists": True}})
    stores: Any = Sends(idle.database, Notifications(idle.database))
    reasons = await stores.find_stopped([id]), (await stores.find_for_deliveries([id]))[0]
    assert reasons == ({id: "RESOLVED"}, {id: "RESOLVED"}), "workers cancel its emails with this reason"


async def test_resolution_ends_scheduled_broadcasts_and_expansions_in_separate_steps(idle: Idle) -> None:
    """A paused expansion is left to the second step, which also ends its parts."""
    stores = ScheduledSends(idle.database), ExpandingSends(idle.database)
    scheduled = (await broadcast(idle.tenant, collapseKey="later", sendAt=after(hours=1)))["id"]
    expansion = (await broadcast(idle.tenant, collapseKey="later"))["id"]
    await change(idle.tenant, "pauseSend", expansion)
    assert not await stores[1].mark_resolved(scheduled, utc_time.now())
    await stores[0].resolve(idle.tenant.name, "later", None)
    statuses = [(await get_send(idle.tenant, id))["status"] for id in (scheduled, expansion)]
    assert statuses == ["CANCELLED", "PAUSED"]


@pytest.mark.parametrize("counted", [False, True], ids=["marked", "counted"])
async def test_resolution_whose_process_was_killed_is_completed(idle: Idle, counted: bool) -> None:
    id = (await broadcast(idle.tenant, collapseKey="outage"))["id"]
    await change(idle.tenant, "pauseSend", id)
    expanding = ExpandingSends(idle.database)
    assert await expanding.mark_resolved(id, utc_time.now())
    if counted:
        await expanding.set_recipients(id, 0)
    await idle.deployment.workers[0].start()

    async def complete() -> bool:
        left = [{name: {"$exists": True}} for name in ("claim", "leased_until", "parts_left", "paused_reason")]
        return await idle.database.sends.find_one({"_id": id, "$or": left}) is None

    await eventually(complete)
    ended = await get_send(idle.tenant, id)
    assert (ended["status"], ended["reason"], ended["recipients"]) == ("CANCELLED", "RESOLVED", 0)
    part = await only_part(idle, id)
    assert "ended_at" in part
    assert "after" not in part


async def test_expansion_is_completed_although_its_category_was_not_created(idle: Idle) -> None:
    """As if other sends had created the last possible categories at the same time."""
    id = (await broadcast(idle.tenant))["id"]
    many: list[Any] = [document(Category(key=f"c{number}", name="c")) for number in range(200)]
    await idle.database.tenants.update_one({"_id": idle.tenant.name}, {"$set": {"categories": many}})
    await idle.deployment.workers[0].start()
    assert (await expanded(idle.tenant, id))["recipients"] == 1
    stored = await idle.database.notifications.find_one({"mailbox": mailbox_of(idle.tenant.name, "ann")})
    assert stored
    assert stored["category"] == "news"
