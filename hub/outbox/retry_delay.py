"""The wait before a retry, and the indexes that find due jobs and expired leases."""

from collections.abc import Callable, Sequence

from pymongo import ASCENDING, IndexModel

DUE = [("lane", ASCENDING), ("due_at", ASCENDING)]
LEASES = [("leased_until", ASCENDING)]


def wait_s(schedule: Sequence[float], times: int, jitter: Callable[[], float]) -> float:
    """Return the number of seconds to wait after `times` failures.

    The wait has full jitter around entry `times` of the schedule, or around its last entry if the schedule is shorter.
    `jitter` returns a number from 0 to 1.
    """
    return 2 * schedule[min(times, len(schedule)) - 1] * jitter()


def job_indexes() -> list[IndexModel]:
    """Return the indexes of a collection of jobs."""
    return [
        # due jobs by lane, longest overdue first; only waiting jobs
        IndexModel(DUE, name="due", partialFilterExpression={"due_at": {"$exists": True}}),
        # expired leases, first expired first; only claimed jobs
        IndexModel(LEASES, name="leases", partialFilterExpression={"leased_until": {"$exists": True}}),
    ]
