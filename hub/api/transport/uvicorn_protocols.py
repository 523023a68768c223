"""The protocols under the door: uvicorn's, with an end for clients that do not send or do not read.

`close` waits until everything written was read, which such a client never does: it would outlive its pings and hold up
SIGTERM. So whoever does not answer a ping in time, does not finish a request within HUB_REQUEST_TIMEOUT_S, takes
nothing for HUB_STALLED_S, or is still there `LINGER_S` after goodbye is cut off with `abort`. Who connects from an
address that has all its connections is told so and read no further. A connection keeps its place until it is lost; one
that becomes a WebSocket hands it on.

Who has many events to write finds the WebSocket's protocol in the scope (`transport_of`) and writes them without
waiting.
"""

import asyncio
from typing import Any

from starlette.types import Scope
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.api.transport.client_address import Addresses
from hub.api.transport.concurrency import BUSY_S
from hub.api.transport.request_reader import RequestReader, answer
from hub.api.transport.socket_reader import SocketReader
from hub.errors import BadUserInput, TooLarge
from hub.platform import metrics
from hub.settings import Settings

TEXT = 0x81  # a whole text message in one frame
PARTS_MAX = 1024  # frames of one message
LINGER_S = 2.0  # for the client to take the last word


EXTENSION = "hub.transport"  # of the ASGI scope


class HTTP(RequestReader):
    _overdue: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _place: str | None = None
    _refusal: bytes | None = None  # for who may not connect, until it is told
    _refused = False
    _head_bytes = 0
    _lost = False

    def __init__(self, settings: Settings, addresses: Addresses, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._addresses = addresses

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client and not self._addresses.is_proxy(self.client[0]):
            self._place = self._addresses.take(self.client[0])
            self._refused = self._place is None
        if self._refused:
            self._refusal = answer(429, self._addresses.refusal, f"retry-after: {BUSY_S:.0f}\r\n")
            self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self._expect()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            if self._refusal:  # with the first bytes: an answer to nothing would be lost when they arrive
                self.transport.write(self._refusal)
                self._refusal = None
            return
        super().data_received(data)
        if self.blocked:
            self._forgive()

    def parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().parse(data)
        if self.transport.get_protocol() is not self:  # it is a WebSocket now, with times of its own
            self._forgive()
        elif self.transport.is_closing():
            self.leave()
        elif self._in_head and self._head_bytes > self._settings.head_max_bytes:
            limit = f"{self._settings.head_max_bytes} bytes (HUB_HEAD_MAX_BYTES)"
            self.refuse(431, TooLarge(f"The head of the request is larger than {limit}."))
        elif self._receiving or self._idle:
            self._expect()
        else:
            self._forgive()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if socket is self:  # it was refused
            return
        if isinstance(socket, Protocol):
            socket.place, self._place = self._place, None
            if socket.conn.handshake_exc:  # a header beyond 8 KiB, or too many; uvicorn would leave it at that
                self.transport.write(b"".join(socket.conn.data_to_send()))
                self.transport.close()
        self.parser = None  # type: ignore[assignment]  # they hold each other, and would stay

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self.leave()
        elif self._receiving and not self.blocked:
            self._expect()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._settings.stalled_s, self._cut, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._forgive()
        self._read()
        if self._place is not None:
            self._addresses.leave(self._place)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LINGER_S, self._stop)

    @property
    def _idle(self) -> bool:
        """Nothing is being answered."""
        return not self._busy

    def _expect(self) -> None:
        """The client has a request to finish. More bytes give it no more time."""
        if self._overdue is None:
            self._overdue = self.loop.call_later(self._settings.request_timeout_s, self._late)

    def _forgive(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _read(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _late(self) -> None:
        metrics.connections_cut.labels("request").inc()
        limit = f"{self._settings.request_timeout_s:g} s (HUB_REQUEST_TIMEOUT_S)"
        self.refuse(408, BadUserInput(f"The request did not arrive within {limit}.", "body"))

    def leave(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_S, self._cut, "close")

    def _stop(self) -> None:
        """The process stops: it waits for answers, not for clients."""
        if self.transport.is_closing() or self._receiving or self.flow.write_paused:
            self._cut("shutdown")

    def _cut(self, why: str) -> None:
        if not self._lost:
            metrics.connections_cut.labels(why).inc()
            self.transport.abort()


class Protocol(SocketReader):
    _stalled: asyncio.TimerHandle | None = None
    place: str | None = None
    """What it holds of its address's connections."""

    def __init__(self, settings: Settings, addresses: Addresses, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._addresses = addresses
        self.conn.__class__ = _Connection
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

    def handle_cont(self, event: Frame) -> None:
        """Parts may be empty, so that a limit of bytes alone would let a message go on for ever."""
        if len(self.frames) < PARTS_MAX:
            super().handle_cont(event)
        else:
            self._refuse(CloseCode.MESSAGE_TOO_BIG)

    def send_receive_event_to_app(self) -> None:
        """What is no UTF-8 ends the socket here: uvicorn would log a traceback."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._refuse(CloseCode.INVALID_DATA)
        else:
            super().send_receive_event_to_app()

    def _refuse(self, code: CloseCode) -> None:
        self.frames = []
        self.conn.fail(code)
        self.handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._settings.stalled_s, self._cut, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forgive()
        if self.place is not None:
            self._addresses.leave(self.place)
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
            metrics.websockets_aborted.labels(why).inc()
            self.transport.abort()

    def _forgive(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class _Connection(ServerProtocol):
    def fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            reason = "The message is too large, or in too many frames (HUB_SOCKET_MESSAGE_MAX_BYTES)."
        super().fail(code, reason)


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
