"""Expansions wait while the oplog of MongoDB is full and covers too little time."""

from pathlib import Path

from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.broadcasts import broadcast, create_users, expanded, get_send
from tests.client import Tenant, eventually
from tests.processes import Deployment, Process
from tests.telemetry import log_lines

USERS = [f"user-{number:04}" for number in range(300)]
OPLOG_MB = 8
FILLING_BYTES = 900_000


class SmallOplogMongod(Mongod):
    def _arguments(self) -> list[str]:
        arguments = super()._arguments()
        arguments[arguments.index("--oplogSize") + 1] = str(OPLOG_MB)
        return arguments


async def test_expansion_waits_for_a_longer_oplog(tmp_path: Path) -> None:
    mongod, redis = SmallOplogMongod(tmp_path / "mongo"), Redis(tmp_path / "redis")
    await mongod.start()
    await redis.start()
    try:
        async with Deployment(mongod.url, redis.url, apis=1, workers=1) as deployment:
            async with Tenant("acme", deployment.urls) as tenant:
                await create_users(tenant, USERS)
                await expanded(tenant, (await broadcast(tenant, "a short oplog that is not full"))["id"])
                async with AsyncMongoClient(mongod.url) as client:
                    filler = client["other"]["filler"]
                    for _ in range(3 * OPLOG_MB):
                        await filler.insert_one({"text": "x" * FILLING_BYTES})
                [worker] = deployment.workers

                async def waits() -> bool:
                    return bool(log_lines(worker, event="oplog_short"))

                await eventually(waits)
                send = await broadcast(tenant, "waits")
                assert (await get_send(tenant, send["id"]))["status"] == "EXPANDING"
                worker.kill()
                other = Process("work", mongod.url, redis.url, oplog_hours="0")
                await other.start()
                try:
                    assert (await expanded(tenant, send["id"]))["recipients"] == len(USERS)
                finally:
                    other.kill()
    finally:
        await redis.stop()
        await mongod.stop()
