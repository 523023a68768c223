"""How requests are read from a connection: never more of them than a few.

Guarantees:
- Behind the request under way at most a few wait (`WAITING_MAX` and those in the same `SLICE_BYTES`). What follows
  stays as bytes, and above `UNREAD_MAX_BYTES` of them nothing more is read. uvicorn alone makes an object of every
  request in what it has read, 70 times the size of the bytes, and reads on after each answer.
- When the connection ends, the request under way is told so and those that wait are forgotten. uvicorn tells only the
  newest, so that an event stream with a request behind it would never end.
- A request that is none (RFC 9112: another version than 1.0 and 1.1, no or two `Host`, a `Host` that is no host) is
  answered with 400 once those before it are answered, and is the last of its connection.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hub.api.errors import to_graphql_error
from hub.errors import BadUserInput, HubError, TooLarge

WAITING_MAX = 8
SLICE_BYTES = 256  # of what is read, at least, between two looks at how many wait
UNREAD_MAX_BYTES = 64 << 10
HEADERS_MAX = 256  # each costs ten times its bytes
HEAD_END = b"\r\n\r\n"
VERSIONS = {"1.0", "1.1"}
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""What a `Host` may hold (RFC 3986, 3.2.2 and 3.2.3)."""


class RequestReader(HttpToolsProtocol):
    """Subclasses extend `parse` and `abort_after_linger`."""

    _unread = b""
    _parsed = 0  # bytes of it
    _current_cycle: RequestResponseCycle | None = None
    _final_response = b""  # an answer that waits for those before it
    _request_error: tuple[int, HubError] | None = None  # why the request that is being read is none
    _receiving = False  # a request has begun and is not whole
    _in_head = True
    _trailers = 0  # headers that came behind a body
    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _HoldableFlowControl = _HoldableFlowControl(transport)

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread[self._parsed :] + data if self._unread else data
        self._parsed = 0
        self._parse_pending()

    def parse(self, data: bytes) -> None:
        """Some of what was read."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("This is not HTTP/1.1.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._ignore_upgrade(data[upgrade.args[0] :])

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Reads the request again as if it had asked for no upgrade, which a server may (RFC 9110, 7.8). The parser
        would take its body for another protocol; Java's client asks so for HTTP/2."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.reject(405, BadUserInput("This is no proxy.", "method"), owed=True)
            return
        lines = [method + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                words = [word for word in value.split(b",") if word.strip().lower() != b"upgrade"]
                lines.append(name + b": " + b",".join(words))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parse(b"\r\n".join(lines) + HEAD_END + rest)

    def _parse_pending(self) -> None:
        """Parses what was read, as far as requests may wait."""
        data, plain = self._unread, not self._parsed and self._unread.count(HEAD_END) < 2
        while self._parsed < len(data) and len(self.pipeline) < WAITING_MAX and not self._ended:
            start = self._parsed
            end = -1 if plain else data.find(HEAD_END, start + SLICE_BYTES)
            self._parsed = len(data) if end < 0 else end + len(HEAD_END)
            self.parse(data[start : self._parsed])
        if self._parsed >= len(data) or self._ended:
            self._unread, self._parsed = b"", 0
        self._update_reading()

    @property
    def _ended(self) -> bool:
        """No more requests are read."""
        return self.transport.is_closing() or bool(self._final_response) or self.transport.get_protocol() is not self

    def _update_reading(self) -> None:
        """Stops reading, or goes on."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        large = bool(self.pipeline) and len(self.cycle.body) > HIGH_WATER_LIMIT
        held = large or bool(self._final_response) or len(self._unread) - self._parsed > UNREAD_MAX_BYTES
        was, self.flow.held = self.flow.held, held
        if held:
            self.flow.pause_reading()
        elif was and (self.cycle is None or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    @property
    def blocked(self) -> bool:
        """What the client sends has to wait for answers, however fast it is."""
        return bool(self._unread or self.pipeline or self._final_response)

    # ------------------------------------------------------------- one request

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving, self._trailers = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._trailers += not self._in_head
        if max(len(self.headers), self._trailers) >= HEADERS_MAX:
            self._request_error = 431, TooLarge(f"The request has more than {HEADERS_MAX} headers.")
            raise ValueError("too many headers")
        if self._in_head:  # trailers are nobody's
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if wrong := self._head_error():
            self._request_error = 400, BadUserInput(wrong[0], wrong[1])
            raise ValueError(wrong[0])
        if self._refuses_upgrade:
            return  # what it becomes is known when its head was read
        self._in_head = False
        super().on_headers_complete()
        if self._stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def _head_error(self) -> tuple[str, str] | None:
        """What is wrong with the head, and with which header."""
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            return f"HTTP/{version} is not spoken here: send HTTP/1.1.", "version"
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version != "1.0"):
            return "A request has one Host header.", "host"
        if hosts and not HOST.fullmatch(hosts[0]):
            return "The Host header names no host.", "host"
        return None

    def on_message_complete(self) -> None:
        self._receiving, self._in_head = False, True
        if not self._refuses_upgrade:
            super().on_message_complete()

    @property
    def _refuses_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        if self._busy:
            self.reject(400, BadUserInput("Wait for the answers before you open a WebSocket.", "upgrade"), owed=True)
            return
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._final_response and not self._busy:
            self._close_with(self._final_response)
        self._parse_pending()

    @property
    def _busy(self) -> bool:
        """Answers are owed for requests that were whole, or at least have begun to be answered."""
        return bool(self.pipeline) or (self._current_cycle is not None and not self._current_cycle.response_complete)

    # ------------------------------------------------------------- the end

    def send_400_response(self, msg: str) -> None:
        status, error = self._request_error or (400, BadUserInput(msg, "request"))
        self.reject(status, error, owed=True)

    def reject(self, status: int, error: HubError, *, owed: bool = False) -> None:
        """Ends the connection, with a word to who is owed an answer and has heard nothing of it yet. Answers to
        requests before it go first."""
        word = (
            build_response(status, orjson.dumps({"errors": [to_graphql_error(error, "")]}))
            if owed or self._receiving
            else b""
        )
        if self._receiving and not self._in_head and self.cycle is not None:  # its body was coming
            if self.cycle is self._current_cycle:
                self._close_with(b"" if self.cycle.response_started else word)
                return
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
        if self._busy and word:
            self._final_response = word
            self._update_reading()
        else:
            self._close_with(word)

    def _close_with(self, word: bytes) -> None:
        if self.transport.is_closing():
            return
        if word:
            self.transport.write(word)
        self.transport.close()
        self.abort_after_linger()

    def abort_after_linger(self) -> None:
        """It is closed, which takes as long as the client takes to read."""

    def shutdown(self) -> None:
        self._stopping = True
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread, self._final_response, self._parsed = b"", b"", 0
        self.flow.held = False
        self.pipeline.clear()
        for cycle in (self._current_cycle, self.cycle):
            if cycle is None:
                continue
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
            if cycle is not self._current_cycle:
                cycle.on_response = _ignore  # it never ran, and holds this connection
        super().connection_lost(exc)


class _HoldableFlowControl(FlowControl):
    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


def _ignore() -> None: ...


def build_response(status: int, body: bytes, headers: str = "") -> bytes:
    """A whole response, the last of its connection."""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
