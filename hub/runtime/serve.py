"""The API process.

After SIGTERM, the process stops in this order: `/readyz` returns 503; WebSockets are closed with code 1012 over
HUB_DRAIN_S; the server stops accepting requests; submitted changes are committed; committed changes are published;
connections to the stores are closed.
"""

import functools
import gc
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any

import structlog
import uvicorn

from hub.api.app import make_app
from hub.api.execution.idempotency import IdempotentResponses
from hub.api.public.probes import Probes
from hub.api.shutdown import Shutdown
from hub.api.transport.connections_per_address import ClientAddresses, proxy_headers
from hub.api.transport.uvicorn_protocols import HubHTTPProtocol, HubWebSocketProtocol
from hub.platform import metrics
from hub.platform.process_group import ProcessGroup
from hub.runtime import cloudwatch, listen
from hub.runtime.background import run_background, run_dispatchers
from hub.runtime.container import Components, build_components
from hub.runtime.dispatchers import build_dispatchers, load_channels
from hub.runtime.drain import drain
from hub.runtime.stop_deadline import StopDeadline
from hub.runtime.worker_loops import worker_loops
from hub.settings import Settings

GC_THRESHOLD = 20_000  # new objects before the youngest generation is collected; Python's default is 700
GIL_SWITCH_S = 0.0005  # how long the event loop waits for a thread that renders a template; Python's default is 5 ms
KEEP_ALIVE_S = 75  # longer than in common proxies, which must not reuse a connection that the hub closes

log = structlog.get_logger(__name__)


async def serve(
    settings: Settings,
    *,
    with_worker: bool = False,
    ready: Callable[[int], None] = lambda _: None,
    bound: list[socket.socket] | None = None,
    start_again: Callable[[], None] | None = None,
    tls: ssl.SSLContext | None = None,
    group: ProcessGroup | None = None,
) -> None:
    """Serve the API until SIGTERM or SIGINT.

    If `with_worker` is True, also run dispatchers and the scheduler. `ready` is called with the port when the server
    accepts connections. `bound` are sockets that the caller has bound. `start_again` stops the hub, deletes
    all data, and starts it again. `tls` enables HTTPS. `group` are the processes that share the sockets. Raise
    listen.PortUnavailable, connections.StoreUnavailable, or settings.ConfigurationError.
    """
    listen.raise_open_file_limit()
    async with AsyncExitStack() as stack:
        listeners = bound or listen.bind(settings.host, settings.port)
        for listener in listeners:
            stack.enter_context(listener)
        hub = await stack.enter_async_context(build_components(settings))
        metrics.pubsub_disconnected.set_function(lambda: hub.services.subscriptions.pubsub.disconnected)
        deadline = StopDeadline(settings.drain_s + settings.shutdown_timeout_s)
        services = hub.services
        probes = Probes(
            hub.database, services.credential_encryption, services.subscriptions.pubsub, services.shutdown, group
        )
        config = _uvicorn_config(hub, settings, probes, start_again, tls)
        server = _Server(config, ready, hub.services.shutdown, settings.drain_s, deadline)
        dispatchers = await build_dispatchers(hub, settings, load_channels(), stack) if with_worker else []
        tune_interpreter()
        loops = [
            *hub.common_loops(),
            probes.run(),
            hub.services.subscriptions.run(),
            hub.services.key_revocations.run(),
            hub.auth.service_keys.run(),
        ]
        if with_worker:
            loops += worker_loops(hub)
        if settings.cloudwatch_namespace:
            loops.append(cloudwatch.write_metrics(settings.cloudwatch_namespace, "serve", cloudwatch.SERVE))
        async with run_background(loops), run_dispatchers(dispatchers, settings.shutdown_timeout_s):
            with _signals(server):
                await server.serve(listeners)
        if server.bind_error:
            raise server.bind_error


def _uvicorn_config(
    hub: Components,
    settings: Settings,
    probes: Probes,
    start_again: Callable[[], None] | None,
    tls: ssl.SSLContext | None,
) -> uvicorn.Config:
    idempotent_responses = IdempotentResponses(hub.database, hub.server_clock.now)
    app = make_app(hub.services, hub.auth, idempotent_responses, hub.database, probes, start_again)
    addresses = ClientAddresses(settings)
    return uvicorn.Config(
        proxy_headers(app, addresses),
        interface="asgi3",
        proxy_headers=False,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        loop="uvloop",
        http=functools.partial(HubHTTPProtocol, settings, addresses),  # type: ignore[arg-type]
        ws=functools.partial(HubWebSocketProtocol, settings, addresses),  # type: ignore[arg-type]
        ws_max_size=settings.websocket_message_max_bytes,
        ws_per_message_deflate=False,  # 29 kB per connection instead of 70
        ws_ping_interval=settings.websocket_ping_interval_s,
        ws_ping_timeout=settings.websocket_ping_timeout_s,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s) - 2),
        backlog=listen.BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        access_log=False,
        log_config=None,
        server_header=False,
        ssl_context_factory=(lambda *_: tls) if tls else None,
    )


def tune_interpreter() -> None:
    """Exclude the objects created at startup from garbage collection, and collect less often: requests leave few
    cycles. Threads give way to the event loop sooner."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    sys.setswitchinterval(GIL_SWITCH_S)


class _Server(uvicorn.Server):
    _terminated = False  # by SIGTERM, not by Ctrl-C

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[int], None],
        shutdown: Shutdown,
        drain_s: float,
        deadline: StopDeadline,
    ) -> None:
        super().__init__(config)
        self.deadline = deadline
        self._ready = ready
        self._shutdown = shutdown
        self._drain_s = drain_s
        self.bind_error: listen.PortUnavailable | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another process bound the same port and listened first
            self.bind_error = listen.port_error(self.config.host, self.config.port, error)
            self.should_exit = True
            return
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            log.info("serving", host=self.config.host, port=port)
            self._ready(port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.deadline.start()
        self._terminated = sig == signal.SIGTERM
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Drain after SIGTERM. Ctrl-C ends the process at once, also while it drains."""
        if self._terminated:
            await drain(self.server_state.connections, self._shutdown, self._drain_s, lambda: not self._terminated)
        self._shutdown.close()
        await super().shutdown(sockets)


class _signals:  # noqa: N801 - used like a function
    """Stop `server` on SIGTERM and SIGINT, even before uvicorn handles signals and after it has stopped. When uvicorn
    stops, it raises the signal again, which would end the process before its cleanup."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def _stop(self, *_: object) -> None:
        self._server.deadline.start()
        self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
