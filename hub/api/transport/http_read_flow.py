"""Backpressure and validation for HTTP requests on a connection.

Guarantees:
- At most `WAITING_MAX` pipelined requests, and the other requests in the same slice of `SLICE_BYTES`, wait for the
  current request. Later requests remain unparsed, and reading pauses above `UNREAD_MAX_BYTES`. uvicorn itself would
  create an object for every received request, which uses 70 times the size of the request, and would resume reading
  after each response.
- When the connection is closed, the current request is notified and waiting requests are dropped. uvicorn notifies only
  the newest request, so an event stream that is followed by another request would never end.
- An invalid request (RFC 9112: a version other than 1.0 and 1.1, or a `Host` header that is missing, repeated, or
  contains invalid characters) receives a 400 response after all earlier responses. Then the connection is closed.
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
SLICE_BYTES = 256  # number of bytes to parse between two checks of the waiting requests
UNREAD_MAX_BYTES = 64 << 10
HEADERS_MAX = 256  # a header uses ten times its size in memory
HEAD_END = b"\r\n\r\n"
VERSIONS = {"1.0", "1.1"}
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""The characters that a `Host` header may contain (RFC 3986, 3.2.2 and 3.2.3)."""


class RequestReader(HttpToolsProtocol):
    """An HTTP protocol. Subclasses extend `parse` and `abort_after_linger`."""

    _unread = b""
    _parsed = 0  # bytes of `_unread`
    _current_cycle: RequestResponseCycle | None = None
    _final_response = b""  # sent after all earlier responses
    _request_error: tuple[int, HubError] | None = None  # status and error of an invalid request
    _receiving = False  # a request has started and is not complete
    _in_head = True
    _trailers = 0  # headers after a body
    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _HoldableFlowControl = _HoldableFlowControl(transport)

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread[self._parsed :] + data if self._unread else data
        self._parsed = 0
        self._parse_pending()

    def parse(self, data: bytes) -> None:
        """Parse a slice of the received bytes."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("The request is not valid HTTP/1.1.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._ignore_upgrade(data[upgrade.args[0] :])

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse the request again without the upgrade, which a server may ignore (RFC 9110, 7.8).

        Otherwise, the parser would treat the body as another protocol. Java's HTTP client requests an upgrade to
        HTTP/2."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.reject(405, BadUserInput("This server is not a proxy.", "method"), owed=True)
            return
        lines = [method + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                options = [option for option in value.split(b",") if option.strip().lower() != b"upgrade"]
                lines.append(name + b": " + b",".join(options))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parse(b"\r\n".join(lines) + HEAD_END + rest)

    def _parse_pending(self) -> None:
        """Parse the received bytes until enough requests are waiting."""
        data, at_most_one = self._unread, not self._parsed and self._unread.count(HEAD_END) < 2
        while self._parsed < len(data) and len(self.pipeline) < WAITING_MAX and not self._ended:
            start = self._parsed
            end = -1 if at_most_one else data.find(HEAD_END, start + SLICE_BYTES)
            self._parsed = len(data) if end < 0 else end + len(HEAD_END)
            self.parse(data[start : self._parsed])
        if self._parsed >= len(data) or self._ended:
            self._unread, self._parsed = b"", 0
        self._update_reading()

    @property
    def _ended(self) -> bool:
        """True if no further requests are read."""
        return self.transport.is_closing() or bool(self._final_response) or self.transport.get_protocol() is not self

    def _update_reading(self) -> None:
        """Pause or resume reading."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        body_is_large = bool(self.pipeline) and len(self.cycle.body) > HIGH_WATER_LIMIT
        hold = body_is_large or bool(self._final_response) or len(self._unread) - self._parsed > UNREAD_MAX_BYTES
        was_held, self.flow.held = self.flow.held, hold
        if hold:
            self.flow.pause_reading()
        elif was_held and (self.cycle is None or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    @property
    def blocked(self) -> bool:
        """True if received bytes remain unparsed until earlier responses are sent."""
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
        if self._in_head:  # trailers are ignored
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if error := self._head_error():
            message, header = error
            self._request_error = 400, BadUserInput(message, header)
            raise ValueError(message)
        if self._refuses_upgrade:
            return  # `parse` handles the upgrade after the head
        self._in_head = False
        super().on_headers_complete()
        if self._stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def _head_error(self) -> tuple[str, str] | None:
        """Return a message and the name of the invalid part, or None if the head is valid."""
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            return f"HTTP/{version} is not supported. Send HTTP/1.1.", "version"
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version != "1.0"):
            return "A request must have one Host header.", "host"
        if hosts and not HOST.fullmatch(hosts[0]):
            return "The Host header is not a valid host.", "host"
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
            self.reject(400, BadUserInput("Wait for all responses before opening a WebSocket.", "upgrade"), owed=True)
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
        """True if a complete request waits for its response, or a response has started and is not complete."""
        return bool(self.pipeline) or (self._current_cycle is not None and not self._current_cycle.response_complete)

    # ------------------------------------------------------------- the end

    def send_400_response(self, msg: str) -> None:
        status, error = self._request_error or (400, BadUserInput(msg, "request"))
        self.reject(status, error, owed=True)

    def reject(self, status: int, error: HubError, *, owed: bool = False) -> None:
        """Close the connection after all earlier responses.

        The error is sent if a request was being received or `owed` is True, unless the response has started."""
        response = (
            build_response(status, orjson.dumps({"errors": [to_graphql_error(error, "")]}))
            if owed or self._receiving
            else b""
        )
        if self._receiving and not self._in_head and self.cycle is not None:  # the request body is incomplete
            if self.cycle is self._current_cycle:
                self._close_with(b"" if self.cycle.response_started else response)
                return
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
        if self._busy and response:
            self._final_response = response
            self._update_reading()
        else:
            self._close_with(response)

    def _close_with(self, response: bytes) -> None:
        if self.transport.is_closing():
            return
        if response:
            self.transport.write(response)
        self.transport.close()
        self.abort_after_linger()

    def abort_after_linger(self) -> None:
        """Limit the time of a close. Without a limit, a close waits until the client has read all data."""

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
                cycle.on_response = _ignore  # the callback would keep this connection in memory
        super().connection_lost(exc)


class _HoldableFlowControl(FlowControl):
    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


def _ignore() -> None: ...


def build_response(status: int, body: bytes, headers: str = "") -> bytes:
    """Return the bytes of a JSON response after which the connection is closed."""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
