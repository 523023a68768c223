"""A notification server with Strawberry and uvicorn, for `hub bench --against`.

python tests/bench/strawberry_server.py MONGO_URL REDIS_URL

`send` stores a notification with four writes in one transaction, as the hub does, and publishes it in Redis.
`notifications` returns what is published for a user or a topic. All subscriptions share one Redis connection.
"""

import asyncio
import json
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import strawberry
import uvicorn
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

BACKLOG = 4096
PREFIX = "strawberry:"


@strawberry.type
class Notification:
    id: strawberry.ID
    to: strawberry.ID
    title: str
    body: str
    category: str
    created_at: str


@strawberry.input
class SendInput:
    to: strawberry.ID
    title: str
    body: str
    category: str


class Notifications:
    """The stored notifications, and the queues of the subscriptions."""

    def __init__(self, mongo_url: str, redis_url: str) -> None:
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url, w="majority", journal=True)
        self._database = self._mongo.strawberry
        self._redis = Redis.from_url(redis_url)
        self._queues: defaultdict[str, set[asyncio.Queue[Notification]]] = defaultdict(set)

    async def store(self, notification: Notification) -> None:
        id, to, created_at = notification.id, notification.to, notification.created_at
        record = {"_id": id, **{name: value for name, value in vars(notification).items() if name != "id"}}

        async def write(session: AsyncClientSession) -> None:
            counts = {"$inc": {"modseq": 1, "unread": 1, "unseen": 1}}
            await self._database.mailboxes.update_one({"_id": to}, counts, upsert=True, session=session)
            await self._database.notifications.insert_one(record, session=session)
            receipt = {"_id": f"{id}:DELIVERED", "to": to, "status": "DELIVERED", "at": created_at}
            await self._database.receipts.insert_one(receipt, session=session)
            await self._database.sends.insert_one({"_id": id, "to": [to], "created_at": created_at}, session=session)

        async with self._mongo.start_session() as session:
            await session.with_transaction(write)

    async def publish(self, notification: Notification) -> None:
        await self._redis.publish(PREFIX + notification.to, orjson.dumps(vars(notification)))

    async def deliver(self) -> None:
        """Put published notifications into the queues of their subscriptions."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.psubscribe(f"{PREFIX}*")
            async for message in pubsub.listen():
                notification = Notification(**orjson.loads(message["data"]))
                for queue in self._queues[notification.to]:
                    queue.put_nowait(notification)

    async def subscribe(self, to: str) -> AsyncGenerator[Notification, None]:
        queue: asyncio.Queue[Notification] = asyncio.Queue()
        self._queues[to].add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues[to].discard(queue)


def create_app(notifications: Notifications) -> Starlette:
    @strawberry.type
    class Query:
        version: str = "1"

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        async def send(self, input: SendInput) -> Notification:
            created_at = datetime.now(UTC).isoformat()
            notification = Notification(id=strawberry.ID(str(uuid4())), created_at=created_at, **vars(input))
            await notifications.store(notification)
            await notifications.publish(notification)
            return notification

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def notifications(self, to: strawberry.ID) -> AsyncGenerator[Notification, None]:
            async for notification in notifications.subscribe(to):
                yield notification

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        delivering = asyncio.create_task(notifications.deliver())
        yield
        delivering.cancel()

    schema = strawberry.Schema(Query, Mutation, Subscription, extensions=[ParserCache, ValidationCache])
    return Starlette(lifespan=lifespan, routes=[Mount("/", GraphQL(schema))])


class Server(uvicorn.Server):
    """Prints its port when it accepts connections, as `hub serve` does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        sys.stdout.write(json.dumps({"event": "serving", "port": sockets[0].getsockname()[1]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    config = uvicorn.Config(
        create_app(Notifications(*sys.argv[1:])),
        loop="uvloop",
        http="httptools",
        ws_per_message_deflate=False,
        backlog=BACKLOG,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)])
