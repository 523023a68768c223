"""Closes the WebSockets of an API process one after the other, because clients must not reconnect all at once."""

import asyncio
import math
from collections.abc import Callable, Collection
from typing import Any

import structlog

from hub.api.shutdown import Shutdown
from hub.api.transport.uvicorn_protocols import HubWebSocketProtocol

STEP_S = 0.25

log = structlog.get_logger(__name__)


async def drain(
    connections: Collection[Any], shutdown: Shutdown, drain_s: float, is_interrupted: Callable[[], bool]
) -> None:
    """Close the WebSockets in `connections` with code 1012, and end the event streams, over `drain_s`. Each step closes
    the same share. Requests are served meanwhile. Return as soon as none is left, or when interrupted."""
    shutdown.begin(drain_s)
    for steps_left in range(math.ceil(drain_s / STEP_S), 0, -1):
        sockets = [one for one in list(connections) if isinstance(one, HubWebSocketProtocol) and one.is_open]
        if is_interrupted() or not (sockets or shutdown.streams):
            return
        for socket in sockets[: math.ceil(len(sockets) / steps_left)]:
            socket.shutdown()
        log.info("draining", sockets=len(sockets), streams=shutdown.streams, throttled=True)
        await asyncio.sleep(STEP_S)
