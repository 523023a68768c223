"""uvicorn's protocols with timeouts for clients that do not send or read data.

`close` waits until the client has read all data. A client that does not read would keep its connection open despite
missed pings and would delay the shutdown. A connection is therefore aborted if the client:

- does not answer a ping in time,
- does not finish a request within HUB_REQUEST_TIMEOUT_S,
- does not read data for HUB_WRITE_TIMEOUT_S, or
- is still connected `LINGER_S` after the close.

If an address has reached its connection limit, a new connection from this address receives an error, and its requests
are not read. A connection is counted until it is lost. A WebSocket takes over the slot of its HTTP connection.

Code that sends many events gets the protocol of a WebSocket from the scope (`find_protocol`) and writes without
waiting.
"""

import asyncio
from typing import Any

from starlette.types import Scope
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.api.transport.connections_per_address import ClientAddresses
from hub.api.transport.http_read_flow import RequestReader, build_response
from hub.api.transport.keyed_limiter import RETRY_AFTER_S
from hub.api.transport.websocket_read_flow import WebSocketReader
from hub.errors import BadUserInput, TooLarge
from hub.platform import metrics
from hub.settings import Settings

TEXT_FRAME = 0x81  # a whole text message in one frame
FRAMES_PER_MESSAGE_MAX = 1024
REQUEST_HEAD_MAX_BYTES = 64 << 10  # request line and headers
LINGER_S = 2.0  # for the client to read the last response
SCOPE_EXTENSION = "hub.transport"  # key in the `extensions` of the ASGI scope


class HubHTTPProtocol(RequestReader):
    """An HTTP connection with time, size, and connection limits."""

    _deadline: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _connection_key: str | None = None
    _pending_refusal: bytes | None = None  # sent when the first bytes of the client arrive
    _refused = False
    _head_bytes = 0
    _is_lost = False

    def __init__(self, settings: Settings, addresses: ClientAddresses, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._addresses = addresses

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client and not self._addresses.is_proxy(self.client[0]):
            self._connection_key = self._addresses.acquire(self.client[0])
            self._refused = self._connection_key is None
        if self._refused:
            self._pending_refusal = build_response(
                429, self._addresses.refusal_body, f"retry-after: {RETRY_AFTER_S:.0f}\r\n"
            )
            self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self._start_deadline()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            if self._pending_refusal:  # a response before the request would be lost when the request arrives
                self.transport.write(self._pending_refusal)
                self._pending_refusal = None
            return
        super().data_received(data)
        if self.blocked:
            self._clear_deadline()

    def parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().parse(data)
        if self.transport.get_protocol() is not self:  # the connection is now a WebSocket, which has its own timers
            self._clear_deadline()
        elif self.transport.is_closing():
            self.abort_after_linger()
        elif self._in_head and self._head_bytes > REQUEST_HEAD_MAX_BYTES:
            self.reject(431, TooLarge(f"The headers of the request are larger than {REQUEST_HEAD_MAX_BYTES} bytes."))
        elif self._receiving or self._idle:
            self._start_deadline()
        else:
            self._clear_deadline()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if socket is self:  # the WebSocket was rejected
            return
        if isinstance(socket, HubWebSocketProtocol):
            socket.connection_key, self._connection_key = self._connection_key, None
            if socket.conn.handshake_exc:  # a header over 8 KiB, or too many headers; uvicorn would not respond
                self.transport.write(b"".join(socket.conn.data_to_send()))
                self.transport.close()
        self.parser = None  # type: ignore[assignment]  # breaks the reference cycle

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self.abort_after_linger()
        elif self._receiving and not self.blocked:
            self._start_deadline()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.abort_after_linger()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self._settings.write_timeout_s, self._abort, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear_stall_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._clear_deadline()
        self._clear_stall_timer()
        if self._connection_key is not None:
            self._addresses.release(self._connection_key)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LINGER_S, self._abort_unless_answering)

    @property
    def _idle(self) -> bool:
        """True if no response is pending."""
        return not self._busy

    def _start_deadline(self) -> None:
        """Start the timeout for the request. Received bytes do not restart the timeout."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._settings.request_timeout_s, self._timed_out)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _clear_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _timed_out(self) -> None:
        metrics.connections_aborted.labels("request").inc()
        limit = f"{self._settings.request_timeout_s:g} s (HUB_REQUEST_TIMEOUT_S)"
        self.reject(408, BadUserInput(f"The request did not arrive within {limit}.", "body"))

    def abort_after_linger(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_S, self._abort, "close")

    def _abort_unless_answering(self) -> None:
        """Abort the connection at shutdown if its client is slow. Otherwise, pending responses are sent first."""
        if self.transport.is_closing() or self._receiving or self.flow.write_paused:
            self._abort("shutdown")

    def _abort(self, reason: str) -> None:
        if not self._is_lost:
            metrics.connections_aborted.labels(reason).inc()
            self.transport.abort()


class HubWebSocketProtocol(WebSocketReader):
    """A WebSocket with time and size limits, and with direct writes."""

    _stall_timer: asyncio.TimerHandle | None = None
    connection_key: str | None = None
    """The key of the connection's slot in the limit of the client address."""

    def __init__(self, settings: Settings, addresses: ClientAddresses, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._addresses = addresses
        self.conn.__class__ = _HubServerProtocol
        self.queue = _LightQueue(self.loop)  # type: ignore[assignment]
        self.writable = _LightEvent()  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent and not self.conn.extensions:
            self.scope["extensions"][SCOPE_EXTENSION] = self  # type: ignore[assignment]

    @property
    def is_open(self) -> bool:
        return not (self.disconnected or self.close_sent or self.transport.is_closing())

    @property
    def can_write(self) -> bool:
        """True if the write buffer is not full and `write_text` may be called."""
        return self.writable.is_set()

    def write_text(self, text: bytes) -> None:
        """Write one text message immediately (RFC 6455, 5.2), or nothing if the socket is closing.

        All other writes of this protocol are also immediate, so frames are never interleaved."""
        if not self.is_open:
            return
        size = len(text)
        if size < 126:
            head = bytes((TEXT_FRAME, size))
        elif size < 1 << 16:
            head = bytes((TEXT_FRAME, 126, size >> 8, size & 255))
        else:
            head = bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big")
        self.transport.write(head + text)

    def handle_cont(self, event: Frame) -> None:
        """Limit the number of frames in a message. A byte limit is not sufficient because frames may be empty."""
        if len(self.frames) < FRAMES_PER_MESSAGE_MAX:
            super().handle_cont(event)
        else:
            self._fail_message(CloseCode.MESSAGE_TOO_BIG)

    def send_receive_event_to_app(self) -> None:
        """Close the socket if a text message is not valid UTF-8. Otherwise, uvicorn would log a traceback."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._fail_message(CloseCode.INVALID_DATA)
        else:
            super().send_receive_event_to_app()

    def _fail_message(self, code: CloseCode) -> None:
        self.frames = []
        self.conn.fail(code)
        self.handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self._settings.write_timeout_s, self._abort, "stalled")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear_stall_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_stall_timer()
        if self.connection_key is not None:
            self._addresses.release(self.connection_key)
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort("ping")

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LINGER_S, self._abort, "shutdown")

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._free_handshake()
        if message["type"] == "websocket.close":
            self.loop.call_later(LINGER_S, self._abort, "close")

    def _free_handshake(self) -> None:
        """Free what only the handshake uses, because a socket may be open for days."""
        del self.request, self.response
        self.__dict__ = dict(list(self.__dict__.items()))  # frees 0.8 kB: a dict does not shrink by itself

    def _abort(self, reason: str) -> None:
        if not self.disconnected:
            metrics.websockets_aborted.labels(reason).inc()
            self.transport.abort()

    def _clear_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class _HubServerProtocol(ServerProtocol):
    def fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            reason = "The message is too large or has too many frames (HUB_WEBSOCKET_MESSAGE_MAX_BYTES)."
        super().fail(code, reason)


class _LightQueue:
    """A queue for one reader, with the methods of `asyncio.Queue` that uvicorn uses and a fifth of its memory usage."""

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


class _LightEvent:
    """An event with the methods of `asyncio.Event` that uvicorn uses. A set event has no list of waiters."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._closed is None

    def set(self) -> None:
        if self._closed is not None:
            self._closed.set()
            self._closed = None

    def clear(self) -> None:
        self._closed = self._closed or asyncio.Event()

    async def wait(self) -> None:
        if self._closed is not None:
            await self._closed.wait()


def find_protocol(scope: Scope) -> HubWebSocketProtocol | None:
    """Return the protocol of a WebSocket if it supports direct writes, else None."""
    protocol = scope.get("extensions", {}).get(SCOPE_EXTENSION)
    return protocol if isinstance(protocol, HubWebSocketProtocol) else None
