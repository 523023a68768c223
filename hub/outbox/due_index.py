"""How long a job waits for its next try, and the index by which waiting jobs are found."""

from collections.abc import Callable, Sequence

from pymongo import ASCENDING, IndexModel

DUE = [("lane", ASCENDING), ("due_at", ASCENDING)]


def wait_s(schedule: Sequence[float], times: int, jitter: Callable[[], float]) -> float:
    """Seconds to wait after so many failures: spread evenly around what the schedule says, or its last word (full
    jitter, `jitter` from 0 to 1)."""
    return 2 * schedule[min(times, len(schedule)) - 1] * jitter()


def due_index() -> IndexModel:
    """What is due, lane by lane, longest overdue first. Only what waits is in it."""
    return IndexModel(DUE, name="due", partialFilterExpression={"due_at": {"$exists": True}})
