"""Jobs that waited in a database that was restored. They are held, because they may have been done after the backup.

A held job is HELD with the reason RESTORED and without `due_at`, so no worker or scheduler takes it. Its field
`restored` contains the time and the reason that it had. A release puts them back: a time in the future is kept, and
any other job is due at once.
"""

from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from hub.model import DeliveryStatus, Reason
from hub.outbox.lanes import SCHEDULER_LANE_OF_JOB
from hub.outbox.states import WAITING
from hub.platform.connections import Document

SLICE = 1000  # jobs per update
HELD_JOBS: Document = {"reason": Reason.RESTORED, "status": DeliveryStatus.HELD}
UNFINISHED: Document = {
    "status": {"$in": [*WAITING, DeliveryStatus.PROCESSING]},
    "reason": {"$ne": Reason.RESTORED},
    "outcome": {"$exists": False},  # the scheduler gives the job its outcome when the lease has expired
}
DUE_OR_CLAIMED: tuple[tuple[str, Document], ...] = (
    ("due", {"due_at": {"$exists": True}}),
    ("leases", {"leased_until": {"$exists": True}}),
)
"""The indexes that contain the jobs that wait and those that a worker has, with their conditions."""
CLEARED_FIELDS = ["due_at", "leased_until", "claim", "enqueue_count", "override", "resumed", "open"]


def restored_index() -> IndexModel:
    """Return the index of a tenant's jobs that are held since a restore, newest first."""
    return IndexModel(
        [("tenant", ASCENDING), ("_id", DESCENDING)],
        name="restored",
        partialFilterExpression={"reason": Reason.RESTORED},
    )


async def hold_jobs(
    jobs: AsyncCollection[Document],
    now: datetime,
    conditions: Document,
    sweeps: tuple[tuple[str, Document], ...] = DUE_OR_CLAIMED,
) -> int:
    """Hold all jobs that wait or that a worker had, and that match `conditions`. Return their number. No process of
    the hub may run."""
    values = {
        "restored": {"due_at": "$due_at", "reason": "$reason"},
        "status": DeliveryStatus.HELD,
        "reason": Reason.RESTORED,
        "updated_at": now,
    }
    update: list[Document] = [{"$set": values}, {"$unset": CLEARED_FIELDS}]
    held = 0
    for index, indexed in sweeps:
        match = {"$and": [indexed, UNFINISHED, conditions]}
        async with jobs.find(match, {"_id": 1}, hint=index, batch_size=SLICE) as cursor:
            while docs := await cursor.to_list(SLICE):
                found = {"_id": {"$in": [doc["_id"] for doc in docs]}}
                held += (await jobs.update_many({"$and": [found, UNFINISHED]}, update)).modified_count
    return held


def release_update(now: datetime, *, to_scheduler: bool) -> list[Document]:
    """Return the update of held jobs that are released. With `to_scheduler`, the scheduler decides each of them again.
    Otherwise, they wait on their lanes."""
    later = {"$gt": ["$restored.due_at", now]}
    values: Document = {
        "due_at": {"$max": ["$restored.due_at", now]},
        "reason": {"$cond": [later, "$restored.reason", "$$REMOVE"]},
        "updated_at": now,
    }
    if to_scheduler:
        values["lane"] = SCHEDULER_LANE_OF_JOB
    else:
        values["status"] = DeliveryStatus.ACCEPTED
    return [{"$set": values}, {"$unset": "restored"}]


async def release_jobs(jobs: AsyncCollection[Document], tenant: str, now: datetime) -> int:
    """Release held jobs of a tenant, at most one slice, so workers take them. Return their number."""
    docs = jobs.find({"tenant": tenant, **HELD_JOBS}, {"_id": 1}, hint="restored").limit(SLICE)
    match = {"_id": {"$in": [doc["_id"] async for doc in docs]}, **HELD_JOBS}
    return (await jobs.update_many(match, release_update(now, to_scheduler=False))).modified_count


async def count_held(jobs: AsyncCollection[Document], tenants_max: int) -> dict[str, int]:
    """Return the number of held jobs of each tenant, of the tenants with most of them first."""
    stages: list[Document] = [
        {"$match": HELD_JOBS},
        {"$group": {"_id": "$tenant", "count": {"$sum": 1}}},
        {"$sort": {"count": DESCENDING}},
        {"$limit": tenants_max},
    ]
    return {doc["_id"]: doc["count"] async for doc in await jobs.aggregate(stages, hint="restored")}
