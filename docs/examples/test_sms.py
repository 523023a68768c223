"""SMS through the file channel."""

import json
from pathlib import Path

from hub.platform.embedded_servers import Mongod, Redis
from tests.client import Tenant, eventually
from tests.processes import Deployment

PHONE = "mutation ($users: [UserInput!]!) { upsertUsers(users: $users) { id } }"


async def test_sms_is_written_to_the_file(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    mongod, redis = servers
    file = tmp_path / "sms.jsonl"
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, sms_file=str(file)) as running:
        async with Tenant("toy", running.urls) as tenant:
            await tenant.ask(PHONE, users=[{"id": "alice", "phone": "+4915112345678"}])
            await tenant.send("alice", title="Your code is 1234", channels=["SMS"])

            async def written() -> bool:
                return file.exists() and bool(file.read_text())

            await eventually(written)
    assert json.loads(file.read_text())["to"] == "+4915112345678"
