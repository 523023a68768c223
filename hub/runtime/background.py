"""The background tasks of a process. If a task crashes, the whole process ends."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from hub.send.worker import Dispatcher

SETTLING_S = 2.0  # part of the shutdown time that is reserved for settling finished calls

log = structlog.get_logger(__name__)


@asynccontextmanager
async def run_background(loops: Collection[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `loops` while the body of the `async with` statement runs, and cancel them afterward."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log_crash(loop)) for loop in loops]
        yield
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def run_dispatchers(dispatchers: Sequence[Dispatcher[Any]], shutdown_s: float) -> AsyncIterator[None]:
    """Run dispatchers while the body of the `async with` statement runs. Afterward they claim no more jobs, and running
    calls may finish until SETTLING_S before the end of `shutdown_s`."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(log_crash(dispatcher.run(), dispatcher.channel)) for dispatcher in dispatchers]
        try:
            yield
        finally:
            for dispatcher in dispatchers:
                dispatcher.stop()
            if running:
                await asyncio.wait(running, timeout=shutdown_s - SETTLING_S)
            for task in running:
                task.cancel()


async def log_crash(work: Coroutine[Any, Any, None], channel: str = "") -> None:
    """Await `work`. If it raises an exception, log the exception first, because it ends the process."""
    try:
        await work
    except Exception:
        part = getattr(work, "__qualname__", "")
        log.critical("component_crashed", part=part, **({"channel": channel} if channel else {}), exc_info=True)
        raise
