"""The background tasks of a worker, in addition to those of every process."""

from collections.abc import Coroutine
from typing import Any

from hub.runtime.backup_metrics import sample_backup_age
from hub.runtime.container import Components


def worker_loops(hub: Components) -> list[Coroutine[Any, Any, None]]:
    """Return the background tasks."""
    return [
        hub.scheduler.run(),
        hub.count_check.run(),
        hub.queue_metrics.run(),
        hub.heartbeat.run(),
        sample_backup_age(hub.database, hub.server_clock.now),
    ]
