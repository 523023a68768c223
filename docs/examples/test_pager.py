"""The PAGER channel."""

from typing import Any

from aiohttp import web

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.processes import Deployment

SET_PHONE = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def test_message_to_a_pager_is_posted(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    posted: list[dict[str, Any]] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        posted.append(await request.json())
        return web.Response(status=202)

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {"pager_url": f"http://127.0.0.1:{runner.addresses[0][1]}/messages", "egress_allow": "127.0.0.0/8"}
    try:
        async with (
            Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running,
            Tenant("toy", running.urls) as tenant,
        ):
            await tenant.execute(SET_PHONE, users=[{"id": "alice", "phone": "+4915112345678"}])
            await tenant.send("alice", title="Disk full", channels=["PAGER"])

            async def received() -> bool:
                return bool(posted)

            await eventually(received)
    finally:
        await runner.cleanup()
    assert (posted[0]["to"], posted[0]["text"]) == ("+4915112345678", "Disk full")
