"""uvicorn's protocols with timeouts for clients that do not send or do not read.

`close` waits until the client has read all data, which such a client never does: the connection would outlive its pings
and delay the shutdown. A connection is aborted if the client does not answer a ping in time, does not finish a request
within HUB_REQUEST_TIMEOUT_S, reads nothing for HUB_WRITE_TIMEOUT_S, or is still connected `LINGER_S` after the close. A
client whose address has reached its connection limit gets an error, and nothing more is read. A connection counts until
it is lost; a WebSocket takes over the count of its HTTP connection.

A sender of many events finds the protocol of a WebSocket in the scope (`find_protocol`) and writes without waiting.
"""

import asyncio
from typing import Any

from starlette.types import Scope
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.api.transport.client_address import ClientAddresses
from hub.api.transport.concurrency import RETRY_AFTER_S
from hub.api.transport.request_reader import RequestReader, build_response
from hub.api.transport.socket_reader import WebSocketReader
from hub.errors import BadUserInput, TooLarge
from hub.platform import metrics
from hub.settings import Settings

TEXT_FRAME = 0x81  # a whole text message in one frame
FRAMES_PER_MESSAGE_MAX = 1024  # frames of one message
REQUEST_HEAD_MAX_BYTES = 64 << 10  # request line and headers
LINGER_S = 2.0  # for the client to take the last word


SCOPE_EXTENSION = "hub.transport"  # of the ASGI scope


class HubHTTPProtocol(RequestReader):
    _deadline: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _connection_key: str | None = None
    _pending_refusal: bytes | None = None  # for who may not connect, until it is told
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
            if self._pending_refusal:  # with the first bytes: an answer to nothing would be lost when they arrive
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
        if self.transport.get_protocol() is not self:  # it is a WebSocket now, with times of its own
            self._clear_deadline()
        elif self.transport.is_closing():
            self.abort_after_linger()
        elif self._in_head and self._head_bytes > REQUEST_HEAD_MAX_BYTES:
            self.reject(431, TooLarge(f"The head of the request is larger than {REQUEST_HEAD_MAX_BYTES} bytes."))
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
        if socket is self:  # it was refused
            return
        if isinstance(socket, HubWebSocketProtocol):
            socket.connection_key, self._connection_key = self._connection_key, None
            if socket.conn.handshake_exc:  # a header beyond 8 KiB, or too many; uvicorn would leave it at that
                self.transport.write(b"".join(socket.conn.data_to_send()))
                self.transport.close()
        self.parser = None  # type: ignore[assignment]  # they hold each other, and would stay

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
        """Nothing is being answered."""
        return not self._busy

    def _start_deadline(self) -> None:
        """The client has a request to finish. More bytes give it no more time."""
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
        metrics.connections_cut.labels("request").inc()
        limit = f"{self._settings.request_timeout_s:g} s (HUB_REQUEST_TIMEOUT_S)"
        self.reject(408, BadUserInput(f"The request did not arrive within {limit}.", "body"))

    def abort_after_linger(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_S, self._abort, "close")

    def _abort_unless_answering(self) -> None:
        """The process stops: it waits for answers, not for clients."""
        if self.transport.is_closing() or self._receiving or self.flow.write_paused:
            self._abort("shutdown")

    def _abort(self, why: str) -> None:
        if not self._is_lost:
            metrics.connections_cut.labels(why).inc()
            self.transport.abort()


class HubWebSocketProtocol(WebSocketReader):
    _stall_timer: asyncio.TimerHandle | None = None
    connection_key: str | None = None
    """What it holds of its address's connections."""

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
    def can_write(self) -> bool:
        """Its buffer is not full: `write_text` may be called."""
        return self.writable.is_set()

    def write_text(self, text: bytes) -> None:
        """Writes one message now (RFC 6455, 5.2); once the socket is closing, nothing. Everything else that is written
        here goes out at once too, so that frames never mix."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
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
        """Parts may be empty, so that a limit of bytes alone would let a message go on for ever."""
        if len(self.frames) < FRAMES_PER_MESSAGE_MAX:
            super().handle_cont(event)
        else:
            self._fail_message(CloseCode.MESSAGE_TOO_BIG)

    def send_receive_event_to_app(self) -> None:
        """What is no UTF-8 ends the socket here: uvicorn would log a traceback."""
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
        if message["type"] == "websocket.accept":  # nobody reads the handshake any more, and it would stay
            self.request.headers.clear()
            self.response.headers.clear()
        if message["type"] == "websocket.close":
            self.loop.call_later(LINGER_S, self._abort, "close")

    def _abort(self, why: str) -> None:
        if not self.disconnected:
            metrics.websockets_aborted.labels(why).inc()
            self.transport.abort()

    def _clear_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


class _HubServerProtocol(ServerProtocol):
    def fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            reason = "The message is too large, or in too many frames (HUB_WEBSOCKET_MESSAGE_MAX_BYTES)."
        super().fail(code, reason)


class _LightQueue:
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


class _LightEvent:
    """What uvicorn uses of `asyncio.Event`, without a list of waiters while it is open."""

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
    """The protocol under a WebSocket, if it is ours and may be written to directly."""
    found = scope.get("extensions", {}).get(SCOPE_EXTENSION)
    return found if isinstance(found, HubWebSocketProtocol) else None
