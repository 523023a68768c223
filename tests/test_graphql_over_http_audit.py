"""The npm package `graphql-http` audits the hub against the specification GraphQL over HTTP: MUST, SHOULD and MAY."""

import asyncio
import json

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant
from tests.conftest import NODE
from tests.processes import Deployment

AUDITS = 61


async def test_hub_passes_all_graphql_over_http_audits(node: str, servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    development = {"mode": "development"}  # some audits require introspection
    async with (
        Deployment(mongod.url, redis.url, apis=1, workers=0, **development) as hub,
        Tenant("a", hub.urls) as tenant,
    ):
        audit = await asyncio.create_subprocess_exec(
            *(node, NODE / "audit.mjs", hub.urls[0], tenant.token("alice")), cwd=NODE, stdout=asyncio.subprocess.PIPE
        )
        received, _ = await asyncio.wait_for(audit.communicate(), 60)
    *failed, recounted = [json.loads(line) for line in received.splitlines()]
    assert failed == []
    assert recounted == {"audits": AUDITS}
