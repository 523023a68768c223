"""The periodic tasks of every worker. `hub/runtime/periodic_tasks.py` contains their list.

If two workers find the same work, it is done once, because each change is checked again in its transaction. Failed work
remains due, and a later round finds it. A task that fails does not stop the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from hub.errors import HubError
from hub.platform.connections import is_cancelling
from hub.platform.redis_errors import REDIS_ERRORS

RETRY_PAUSE_S = 1.0
NOT_URGENT = 4  # intervals between rounds of a task that found nothing, if its work may begin seconds later

log = structlog.get_logger(__name__)


class PeriodicTask(Struct, frozen=True):
    """A periodic task. `tick` processes one batch and returns its size. After a batch of at least `full` items, `tick`
    is called again immediately. After a round that found nothing, the task waits for `idle_intervals`."""

    name: str
    tick: Callable[[], Awaitable[int]]
    full: int = 1
    idle_intervals: int = 1


class Scheduler:
    def __init__(self, tasks: Sequence[PeriodicTask], interval_s: float) -> None:
        self._tasks = tasks
        self._interval_s = interval_s

    async def run(self) -> None:
        """Run all tasks until cancelled."""
        async with asyncio.TaskGroup() as group:
            for task in self._tasks:
                group.create_task(self._run_forever(task))

    async def _run_forever(self, task: PeriodicTask) -> None:
        while not is_cancelling():
            try:
                processed = await task.tick()
            except (HubError, PyMongoError, *REDIS_ERRORS) as error:
                log.warning("scheduler_failed", task=task.name, error=error)
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception:
                log.exception("scheduler_crashed", task=task.name)
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                if processed < task.full:
                    await asyncio.sleep(self._interval_s * (1 if processed else task.idle_intervals))
