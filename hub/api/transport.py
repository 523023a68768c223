"""The WebSocket protocol under the door: uvicorn's, with an end for clients that do not read.

`close` waits until everything written was read, which such a client never does: it would outlive its pings and hold up
SIGTERM. So whoever does not answer a ping in time, takes nothing for `STALLED_S`, or is still there `LINGER_S` after
goodbye is cut off with `abort`.

Who has many events to write finds the protocol in the scope (`transport_of`) and writes them without waiting.
"""

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from hub import metrics

STALLED_S = 20.0  # a full send buffer that does not move
TEXT = 0x81  # a whole text message in one frame
LINGER_S = 2.0  # for the client to take the close frame


EXTENSION = "hub.transport"  # of the ASGI scope


class Protocol(WebSocketsSansIOProtocol):
    _stalled: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = _Messages(self.loop)  # type: ignore[assignment]
        self.writable = _Gate()  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent and not self.conn.extensions:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    @property
    def takes(self) -> bool:
        """Its buffer is not full: `write_text` may be called."""
        return self.writable.is_set()

    def write_text(self, text: bytes) -> None:
        """Writes one message now (RFC 6455, 5.2); once the socket is closing, nothing. Everything else that is written
        here goes out at once too, so that frames never mix."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        size = len(text)
        if size < 126:
            head = bytes((TEXT, size))
        elif size < 1 << 16:
            head = bytes((TEXT, 126, size >> 8, size & 255))
        else:
            head = bytes((TEXT, 127)) + size.to_bytes(8, "big")
        self.transport.write(head + text)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_S, self._cut, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forgive()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut("ping")

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LINGER_S, self._cut, "shutdown")

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":  # nobody reads the handshake any more, and it would stay
            self.request.headers.clear()
            self.response.headers.clear()
        if message["type"] == "websocket.close":
            self.loop.call_later(LINGER_S, self._cut, "close")

    def _cut(self, why: str) -> None:
        if not self.disconnected:
            metrics.sockets_cut.labels(why).inc()
            self.transport.abort()

    def _forgive(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class _Messages:
    """What uvicorn uses of `asyncio.Queue`, for one reader: idle sockets hold a fifth of what that holds."""

    __slots__ = ("_loop", "_messages", "_reader")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._reader and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        while not self._messages:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.pop(0)


class _Gate:
    """What uvicorn uses of `asyncio.Event`, without a list of waiters while it is open."""

    __slots__ = ("_shut",)

    def __init__(self) -> None:
        self._shut: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._shut is None

    def set(self) -> None:
        if self._shut is not None:
            self._shut.set()
            self._shut = None

    def clear(self) -> None:
        self._shut = self._shut or asyncio.Event()

    async def wait(self) -> None:
        if self._shut is not None:
            await self._shut.wait()


def transport_of(scope: Scope) -> Protocol | None:
    """The protocol under a WebSocket, if it is ours and may be written to directly."""
    found = scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Protocol) else None
