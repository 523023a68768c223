"""Backpressure for messages from a WebSocket.

Guarantees:
- At most the messages of one slice (`SLICE_BYTES`) wait for the session. Later messages remain unparsed, and reading
  pauses. uvicorn itself would create an object for every received message.
- After `TIME_SLICE_S` of parsing, other connections are served, because one read may contain ten thousand empty frames.
- Nothing is read while the write buffer is full. Otherwise, pings could fill the buffer further, because each ping is
  answered immediately (RFC 6455, 5.5.2).
- Sending a message while the socket is closing raises ClientDisconnected, regardless of which side closed the socket.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SLICE_BYTES = 1024
TIME_SLICE_S = 0.005


class WebSocketReader(WebSocketsSansIOProtocol):
    """`read_paused`, which uvicorn also sets, is True while the transport does not read."""

    _unread = b""
    _parsed = 0  # bytes of `_unread`
    _pongs = b""  # pongs that wait for space in the write buffer
    _next_turn: asyncio.Handle | None = None

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread[self._parsed :] + data if self._unread else data
        self._parsed = 0
        self._parse_pending()

    def _parse_pending(self) -> None:
        """Parse the received bytes while the session accepts messages."""
        data, started = self._unread, time.perf_counter()
        while self._parsed < len(data) and self._can_accept:
            if time.perf_counter() - started > TIME_SLICE_S:
                if self._next_turn is None:
                    self._next_turn = self.loop.call_soon(self._resume_parsing)
                break
            start, self._parsed = self._parsed, min(self._parsed + SLICE_BYTES, len(data))
            super().data_received(data[start : self._parsed])
        if self._parsed >= len(data) or self.conn.parser_exc is not None:
            self._unread, self._parsed = b"", 0
        self._update_reading()

    def _resume_parsing(self) -> None:
        self._next_turn = None
        self._parse_pending()

    @property
    def _can_accept(self) -> bool:
        if self.disconnected or self.conn.parser_exc is not None or self.transport.is_closing():
            return False
        return self.close_sent or (self.queue.empty() and self.writable.is_set())

    def _update_reading(self) -> None:
        """Pause or resume reading."""
        if self.disconnected or self.transport.is_closing():
            return
        pause = bool(self._unread) or not self._can_accept
        if pause and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        elif not pause and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def handle_ping(self) -> None:
        pongs = b"".join(self.conn.data_to_send())
        if self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(pongs)
        else:
            self._pongs += pongs  # at most the pongs of one slice, because reading pauses

    def pause_writing(self) -> None:
        super().pause_writing()
        self._update_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pongs and not self.transport.is_closing():
            self.transport.write(self._pongs)
        self._pongs = b""
        self._parse_pending()

    async def receive(self) -> Any:
        message = await self.queue.get()
        self._parse_pending()
        return message

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.close_sent or (self.transport.is_closing() and self.handshake_complete):
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.close":  # the unparsed bytes may contain the client's close frame
            self._parse_pending()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread, self._parsed, self._pongs = b"", 0, b""
        super().connection_lost(exc)
