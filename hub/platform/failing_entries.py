"""The entries of a periodic task that fail. They do not stop the other entries, and are left out for some time."""

import time
from collections.abc import Awaitable
from typing import TypeVar

import structlog
from pymongo.errors import PyMongoError

from hub.errors import HubError
from hub.platform.connections import is_outage

LEFT_OUT_S = 60.0
IDS_MAX = 1000

log = structlog.get_logger(__name__)

T = TypeVar("T")


class FailingEntries:
    """The entries that failed in this process. `task` is the name of the task in the log."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._until_s: dict[str, float] = {}  # by id; the first one failed first

    @property
    def ids(self) -> list[str]:
        """The ids of the entries to leave out now, at most IDS_MAX."""
        now_s = time.monotonic()
        self._until_s = {id: until_s for id, until_s in self._until_s.items() if until_s > now_s}
        return list(self._until_s)

    async def run(self, id: str, work: Awaitable[T]) -> T | None:
        """Return the result of the work of one entry. If it fails, log that and return None. Raise only PyMongoError,
        if MongoDB is unavailable."""
        try:
            return await work
        except (HubError, PyMongoError) as error:
            if isinstance(error, PyMongoError) and is_outage(error):
                raise
            log.warning("entry_failed", task=self._task, id=id, error=error)
        except Exception:
            log.exception("entry_failed", task=self._task, id=id)
        if len(self._until_s) >= IDS_MAX:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[id] = time.monotonic() + LEFT_OUT_S
        return None
