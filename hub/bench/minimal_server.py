"""The baseline: the minimum work that any hub must do, with the same server library.

`python -m hub.bench.minimal_server MONGO_URL REDIS_URL journaled|plain [FILE]`

A POST request inserts one document, publishes it, and responds, without GraphQL, tokens, inboxes, or transactions. With
FILE, a POST request sends the text of the file to every open WebSocket instead. Sockets implement enough of
`graphql-transport-ws` for the same load client.
"""

import asyncio
import gc
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import uvicorn
import uvloop
from pymongo import AsyncMongoClient, WriteConcern
from redis.asyncio import Redis
from starlette.types import Receive, Scope, Send

from hub.ids import new_id

BACKLOG = 4096
GC_THRESHOLD = 20_000  # as in the hub
TIME_PLACEHOLDER = "@" * 19  # in the title of an event
OK = {"type": "http.response.start", "status": 200}
ACK = {"type": "websocket.send", "text": '{"type":"connection_ack"}'}


class BaselineApp:
    def __init__(self, mongo_url: str, redis_url: str, concern: WriteConcern, text: str | None) -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url)
        self._documents = client.get_database("floor", write_concern=concern).notifications
        self._redis = Redis.from_url(redis_url)
        self._text = text
        self._sockets: set[Send] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(receive, send)
        elif scope["type"] == "http":
            await self._handle_post(receive, send)

    async def _handle_post(self, receive: Receive, send: Send) -> None:
        body = bytearray()
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        if self._text is None:
            await self._insert_and_publish(orjson.loads(body)["variables"]["input"])
        response = b'{"data":{"send":true}}'
        await send(OK | {"headers": [(b"content-length", str(len(response)).encode())]})
        await send({"type": "http.response.body", "body": response})
        if self._text is not None:
            text = self._text.replace(TIME_PLACEHOLDER, f"{time.monotonic_ns():019}")
            event = {"type": "websocket.send", "text": text}
            for write in tuple(self._sockets):
                await write(event)

    async def _insert_and_publish(self, document: dict[str, Any]) -> None:
        document["_id"] = new_id()
        await self._documents.insert_one(document)
        await self._redis.publish(f"floor:{document['to']['users'][0]}", orjson.dumps(document))

    async def _serve_socket(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        await receive()
        await send(ACK)
        self._sockets.add(send)
        while (await receive())["type"] == "websocket.receive":
            pass
        self._sockets.discard(send)


async def serve(mongo_url: str, redis_url: str, writes: str, file: str | None = None) -> None:
    """Serve requests until SIGTERM."""
    journaled = writes == "journaled"
    concern = WriteConcern("majority", j=True) if journaled else WriteConcern(1, j=False)
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    config = uvicorn.Config(
        BaselineApp(mongo_url, redis_url, concern, await asyncio.to_thread(Path(file).read_text) if file else None),
        lifespan="off",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    sys.stdout.write(json.dumps({"event": "serving", "port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
