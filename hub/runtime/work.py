"""The worker process: dispatchers and the scheduler.

The process stops in this order: it claims no more jobs; calls in progress finish if there is time; their results are
settled; claimed jobs without a call are released.
"""

import asyncio
import functools
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import structlog
import uvicorn

from hub.api.public.probes import Probes, probe_app
from hub.api.transport.connections_per_address import ClientAddresses
from hub.api.transport.uvicorn_protocols import HubHTTPProtocol
from hub.platform.process_group import ProcessGroup
from hub.runtime import cloudwatch, listen
from hub.runtime.background import run_background, run_dispatchers
from hub.runtime.container import build_components
from hub.runtime.dispatchers import build_dispatchers, load_channels
from hub.runtime.stop_deadline import StopDeadline
from hub.runtime.worker_loops import worker_loops
from hub.send.channel import ChannelModule
from hub.settings import Settings

log = structlog.get_logger(__name__)


async def work(
    settings: Settings,
    channels: Sequence[ChannelModule] | None = None,
    bound: Sequence[socket.socket] | None = None,
    group: ProcessGroup | None = None,
) -> None:
    """Run dispatchers for `channels` (default: all) and the scheduler until SIGTERM or SIGINT.

    `bound` are the sockets for `/metrics` that the caller has bound. `group` are the processes that share them. Raise
    listen.PortUnavailable or connections.StoreUnavailable."""
    async with AsyncExitStack() as stack:
        listeners = list(listen.bind_optional(settings.host, settings.work_port) if bound is None else bound)
        for listener in listeners:
            stack.enter_context(listener).listen()  # early requests wait in the backlog of the socket
        hub = await stack.enter_async_context(build_components(settings))
        dispatchers = await build_dispatchers(hub, settings, load_channels() if channels is None else channels, stack)
        probes = Probes(hub.database, hub.services.credential_encryption, group=group)
        loops = [*hub.common_loops(), *worker_loops(hub), probes.run()]
        if listeners:
            loops.append(serve_probes(probes, settings, listeners))
        if settings.cloudwatch_namespace:
            loops.append(cloudwatch.write_metrics(settings.cloudwatch_namespace, "work", cloudwatch.WORK))
        await stack.enter_async_context(run_background(loops))
        stop = stop_on_signal(StopDeadline(settings.shutdown_timeout_s))
        port = {"port": listeners[0].getsockname()[1]} if listeners else {}
        async with run_dispatchers(dispatchers, settings.shutdown_timeout_s):
            log.info("working", channels=[dispatcher.channel for dispatcher in dispatchers], **port)
            await stop.wait()


def stop_on_signal(deadline: StopDeadline) -> asyncio.Event:
    """Return an event that is set on SIGTERM and SIGINT. The signals also start `deadline`."""
    stop = asyncio.Event()

    def end() -> None:
        deadline.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    return stop


async def serve_probes(probes: Probes, settings: Settings, listeners: list[socket.socket]) -> None:
    """Serve `/metrics`, `/healthz`, and `/readyz` until cancelled."""
    config = uvicorn.Config(
        probe_app(probes, settings),
        host=settings.host,
        lifespan="off",
        http=functools.partial(HubHTTPProtocol, settings, ClientAddresses(settings)),  # type: ignore[arg-type]
        ws="none",
        timeout_graceful_shutdown=1,
        access_log=False,
        log_config=None,
        server_header=False,
    )
    server = _ProbeServer(config)
    serving = asyncio.create_task(server.serve(listeners))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


class _ProbeServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals, because `work` handles them."""
        yield
