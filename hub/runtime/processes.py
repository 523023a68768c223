"""A process of the hub, from start to end: `serve` and `work`. What it is made of is built once, in `container`
and `dispatchers`, and passed down.

A process stops in this order: the server takes no more requests and closes its sockets with 1012; changes under way
are committed; what was committed is told; then the connections are closed.
"""

import asyncio
import functools
import gc
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette

from hub.api.app import make_app
from hub.api.execution.idempotency import Answers
from hub.api.public.probes import probes
from hub.api.transport.client_address import Addresses, behind_proxies
from hub.api.transport.uvicorn_protocols import HTTP, Protocol
from hub.platform import metrics
from hub.runtime import listen
from hub.runtime.container import Components, build_components
from hub.runtime.dispatchers import build_dispatchers, load_channels
from hub.runtime.stop_deadline import StopDeadline
from hub.send.worker import Dispatcher
from hub.settings import Settings

GC_THRESHOLD = 20_000  # objects more than before, Python's own is 700
KEEP_ALIVE_S = 75  # longer than the proxies in front, so that they never send into a connection we close
SETTLING_S = 2.0  # of the time to stop, for what calls brought
BACKLOG = 4096  # connections the kernel may hold for us: everybody comes back at once after a restart

log = structlog.get_logger(__name__)


async def serve(
    settings: Settings,
    *,
    with_worker: bool = False,
    ready: Callable[[int], None] = lambda _: None,
    bound: list[socket.socket] | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """The API, until SIGTERM or SIGINT; `alone` with dispatchers and ticker, where there is no worker. `ready` is
    called with the port once connections are accepted; `bound` are sockets that the caller has bound; with `tls` it
    speaks HTTPS. Raises listen.PortUnavailable, connections.StoreUnavailable and settings.ConfigurationError."""
    listen.raise_open_file_limit()
    async with AsyncExitStack() as stack:
        listeners = bound or listen.bind(settings.host, settings.port)
        for listener in listeners:
            stack.enter_context(listener)
        hub = await stack.enter_async_context(build_components(settings))
        metrics.pubsub_disconnected.set_function(lambda: hub.services.subscriptions.pubsub.disconnected)
        app = make_app(hub.services, hub.auth, Answers(hub.database, hub.time.now), hub.database)
        addresses = Addresses(settings)
        server = _Server(
            uvicorn.Config(
                behind_proxies(app, addresses),
                interface="asgi3",
                proxy_headers=False,
                host=settings.host,
                port=settings.port,
                lifespan="off",
                loop="uvloop",
                http=functools.partial(HTTP, settings, addresses),  # type: ignore[arg-type]
                ws=functools.partial(Protocol, settings, addresses),  # type: ignore[arg-type]
                ws_max_size=settings.socket_message_max_bytes,
                ws_per_message_deflate=False,  # 29 kB a connection instead of 70
                ws_ping_interval=settings.ping_interval_s,
                ws_ping_timeout=settings.ping_timeout_s,
                timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds) - 2),
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                access_log=False,
                log_config=None,
                server_header=False,
                ssl_context_factory=(lambda *_: tls) if tls else None,
            ),
            ready,
            hub.services.closing,
            StopDeadline(settings.shutdown_seconds),
        )
        dispatchers = await build_dispatchers(hub, settings, load_channels(), stack) if with_worker else []
        tune_gc()
        loops = [
            hub.time.run(),
            *(watchdog.run() for watchdog in hub.watchdogs),
            hub.publisher.run(),
            hub.limiter.run(),
            hub.services.subscriptions.run(),
            hub.enqueuer.run(),
            hub.quiet.run(),
        ]
        if with_worker:
            loops += [hub.scheduler.run(), hub.queue_metrics.run(), hub.heartbeat.run()]
        async with run_background(loops), _running(dispatchers, settings.shutdown_seconds - SETTLING_S):
            with _signals(server):
                await server.serve(listeners)
        if server.refused:
            raise server.refused


async def work(settings: Settings, serving: Sequence[Any] | None = None) -> None:
    """Dispatchers and the ticker, until SIGTERM or SIGINT. Then, in this order: nothing more is taken; calls under way
    end, as far as there is time; what they brought is settled; what was claimed and not called is given back. Raises
    listen.PortUnavailable and connections.StoreUnavailable."""
    async with AsyncExitStack() as stack:
        listeners = [] if settings.work_port is None else listen.bind(settings.host, settings.work_port)
        for listener in listeners:
            stack.enter_context(listener).listen()  # who asks early waits
        hub = await stack.enter_async_context(build_components(settings))
        dispatchers = await build_dispatchers(hub, settings, load_channels() if serving is None else serving, stack)
        loops = [
            hub.time.run(),
            *(watchdog.run() for watchdog in hub.watchdogs),
            hub.publisher.run(),
            hub.limiter.run(),
            hub.enqueuer.run(),
            hub.quiet.run(),
            hub.scheduler.run(),
            hub.queue_metrics.run(),
            hub.heartbeat.run(),
        ]
        if listeners:
            loops.append(serve_probes(hub, settings, listeners))
        await stack.enter_async_context(run_background(loops))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        deadline = StopDeadline(settings.shutdown_seconds)

        def end() -> None:
            deadline.start()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        where = {"port": listeners[0].getsockname()[1]} if listeners else {}
        async with _running(dispatchers, settings.shutdown_seconds - SETTLING_S):
            log.info("working", channels=[dispatcher.channel for dispatcher in dispatchers], **where)
            await stop.wait()


@asynccontextmanager
async def _running(dispatchers: Sequence[Dispatcher[Any]], ending_s: float) -> AsyncIterator[None]:
    """Dispatchers beside the body. Then they take no more, and what is under way has `ending_s` to end. One that breaks
    ends the process."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(log_crash(dispatcher.run(), dispatcher.channel)) for dispatcher in dispatchers]
        try:
            yield
        finally:
            for dispatcher in dispatchers:
                dispatcher.stop()
            if running:
                await asyncio.wait(running, timeout=ending_s)
            for task in running:
                task.cancel()


async def log_crash(work: Coroutine[Any, Any, None], channel: str = "") -> None:
    """Says what broke, for that ends the process: half a hub helps nobody."""
    try:
        await work
    except Exception:
        part = getattr(work, "__qualname__", "")
        log.critical("component_crashed", part=part, **({"channel": channel} if channel else {}), exc_info=True)
        raise


async def serve_probes(hub: Components, settings: Settings, listeners: list[socket.socket]) -> None:
    """`/metrics`, `/healthz` and `/readyz` of a process that serves nothing else, until cancelled."""
    app = Starlette(routes=probes(settings, hub.database))
    app.router.redirect_slashes = False
    config = uvicorn.Config(
        app,
        host=settings.host,
        lifespan="off",
        http=functools.partial(HTTP, settings, Addresses(settings)),  # type: ignore[arg-type]
        ws="none",
        timeout_graceful_shutdown=1,
        access_log=False,
        log_config=None,
        server_header=False,
    )
    server = _Probes(config)
    serving = asyncio.create_task(server.serve(listeners))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


def tune_gc() -> None:
    """Python's cyclic collector looks through everything alive again and again. What is there after the start stays,
    and requests leave few cycles behind: it runs rarely, over what is new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


class _Probes(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the dispatchers' to hear."""
        yield


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[int], None],
        closing: asyncio.Event,
        deadline: StopDeadline,
    ) -> None:
        super().__init__(config)
        self.deadline = deadline
        self._ready = ready
        self._closing = closing
        self.refused: listen.PortUnavailable | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another process bound the port when we did, and was the first to listen
            self.refused = listen.port_error(self.config.host, self.config.port, error)
            self.should_exit = True
            return
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            log.info("serving", host=self.config.host, port=port)
            self._ready(port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.deadline.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


@asynccontextmanager
async def run_background(works: Collection[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs them beside the body. One that breaks ends the process."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log_crash(work)) for work in works]
        yield
        for task in tasks:
            task.cancel()


class _signals:  # noqa: N801 - used like a function
    """uvicorn raises the signal again when it is done, which would end the process before it has cleaned up; and one
    that comes before uvicorn listens for it must not be lost."""

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
