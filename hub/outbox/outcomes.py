"""The final states of jobs that are recorded but not yet applied (`claims.py`)."""

from typing import TypeVar

from msgspec.structs import replace

from hub.model import Job
from hub.platform.connections import Document

CLAIM_FIELDS = ("claim", "leased_until", "enqueue_count", "override", "resumed")  # set while a worker has the job
REPLACED_FIELDS = (*CLAIM_FIELDS, "attempts", "reason", "due_at", "tries", "lease_expirations", "provider_id")
"""The fields that a settlement sets or removes."""
APPLY_OUTCOME: list[Document] = [
    {"$unset": [*REPLACED_FIELDS]},
    {"$replaceWith": {"$mergeObjects": ["$$ROOT", "$outcome"]}},
    {"$unset": "outcome"},
]
"""The update that gives a job its outcome."""

J = TypeVar("J", bound=Job)


def with_outcome(job: J) -> J:
    """Return the job as it is when its outcome is applied."""
    outcome = job.outcome
    if outcome is None:
        return job
    return replace(
        job,
        status=outcome.status,
        updated_at=outcome.updated_at,
        attempts=outcome.attempts,
        reason=outcome.reason,
        tries=outcome.tries,
        lease_expirations=outcome.lease_expirations,
        provider_id=outcome.provider_id,
        lane=outcome.lane or job.lane,
        claim=None,
        leased_until=None,
        outcome=None,
    )
