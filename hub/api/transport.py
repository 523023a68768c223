"""The WebSocket protocol under the door: uvicorn's, with an end for clients that do not read.

`close` waits until everything written was read, which such a client never does: it would outlive its pings and hold up
SIGTERM. So whoever does not answer a ping in time, takes nothing for `STALLED_S`, or is still there `LINGER_S` after
goodbye is cut off with `abort`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub import metrics

STALLED_S = 20.0  # a full send buffer that does not move
LINGER_S = 2.0  # for the client to take the close frame


class Protocol(WebSocketsSansIOProtocol):
    _stalled: asyncio.TimerHandle | None = None

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
