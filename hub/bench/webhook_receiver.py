"""The webhook receiver: `python -m hub.bench.webhook_receiver DELAY_MS`.

A POST request receives its response after the delay. A GET request returns the time from the creation of each
notification to its arrival, in milliseconds.
"""

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import cast

import uvloop

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
MAX_SAMPLES = 100_000
CREATED_AT = b'"createdAt":"'


class Sink(asyncio.Protocol):
    def __init__(self, delay_s: float, waits: list[float]) -> None:
        self._delay_s = delay_s
        self._waits = waits
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            if head.startswith(b"get "):
                body = json.dumps(self._waits).encode()
                self._transport.write(RESPONSE.replace(b"length: 0", b"length: %d" % len(body)) + body)
                self._read = self._read[end + 4 :]
                continue
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._read) < end + 4 + size:
                return
            self._record_wait(self._read[end + 4 : end + 4 + size])
            self._read = self._read[end + 4 + size :]
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._respond)
            else:
                self._respond()

    def _respond(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(RESPONSE)

    def _record_wait(self, body: bytes) -> None:
        at = body.find(CREATED_AT)
        if at >= 0 and len(self._waits) < MAX_SAMPLES:
            created_at = datetime.fromisoformat(body[at + len(CREATED_AT) :].partition(b'"')[0].decode())
            self._waits.append((time.time() - created_at.timestamp()) * 1000)


async def main(delay_ms: float) -> None:
    waits: list[float] = []
    server = await asyncio.get_running_loop().create_server(lambda: Sink(delay_ms / 1000, waits), "127.0.0.1", 0)
    print(json.dumps({"event": "serving", "port": server.sockets[0].getsockname()[1]}), flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
