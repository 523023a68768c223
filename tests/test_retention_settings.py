"""The settings for how long documents are kept may change between starts."""

from uuid import uuid4

from pymongo import AsyncMongoClient

from hub.platform.embedded_servers import Mongod, Redis
from tests.processes import Process

DAY_S = 24 * 3600


async def test_changed_receipt_days_change_the_index(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"retention{uuid4().hex[:8]}"
    async with AsyncMongoClient(mongod.url) as client:
        for days in (9, 5):
            api = Process("serve", mongod.url, redis.url, mongo_database=name, receipt_days=str(days))
            await api.start()
            try:
                expiry = (await client[name].receipts.index_information())["expiry"]
                assert expiry["expireAfterSeconds"] == days * DAY_S
            finally:
                await api.stop()
        await client.drop_database(name)
