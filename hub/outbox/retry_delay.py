"""The wait before a retry, and the index that finds due jobs."""

from collections.abc import Callable, Sequence

from pymongo import ASCENDING, IndexModel

DUE = [("lane", ASCENDING), ("due_at", ASCENDING)]


def wait_s(schedule: Sequence[float], times: int, jitter: Callable[[], float]) -> float:
    """Return the number of seconds to wait after `times` failures.

    The wait has full jitter around entry `times` of the schedule, or around its last entry if the schedule is shorter.
    `jitter` returns a number from 0 to 1.
    """
    return 2 * schedule[min(times, len(schedule)) - 1] * jitter()


def due_index() -> IndexModel:
    """Return the index for due jobs by lane, longest overdue first. It contains only waiting and claimed jobs."""
    return IndexModel(DUE, name="due", partialFilterExpression={"due_at": {"$exists": True}})
