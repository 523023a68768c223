"""The wait before a retry, and the index that finds due jobs."""

from collections.abc import Callable, Sequence

from pymongo import ASCENDING, IndexModel

DUE = [("lane", ASCENDING), ("due_at", ASCENDING)]


def wait_s(schedule: Sequence[float], times: int, jitter: Callable[[], float]) -> float:
    """Return the seconds to wait after `times` failures: full jitter based on the entry of the schedule, or on its
    last entry. `jitter` returns a number from 0 to 1."""
    return 2 * schedule[min(times, len(schedule)) - 1] * jitter()


def due_index() -> IndexModel:
    """Return the index for due jobs by lane, longest overdue first. It contains only waiting and claimed jobs."""
    return IndexModel(DUE, name="due", partialFilterExpression={"due_at": {"$exists": True}})
