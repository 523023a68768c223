"""The jobs that prepare sends. A job is stored in the transaction in which its send becomes PREPARING."""

from contextlib import suppress
from datetime import datetime, timedelta

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from hub.enrichment.calls import CRITICAL_TIMEOUT_S
from hub.model import DeliveryStatus, Enrichment, EnrichmentFailure, EnrichmentJob, Priority, document
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.lanes import lane_of
from hub.outbox.retry_delay import job_indexes
from hub.platform.connections import Database, Document, Indexes
from hub.utc_time import Clock

COLLECTION = "enrichment_jobs"
LANE = "ENRICHMENT"
CRITICAL_LANE = "ENRICHMENT_CRITICAL"  # has calls of its own, so it does not wait for slow calls of other sends
KEPT_DAYS = 1
CRITICAL_MAX = timedelta(seconds=CRITICAL_TIMEOUT_S)
SEND_MAX = timedelta(minutes=2)  # longer than a lease, so the call of a worker that died is repeated
PREPARING_MAX = timedelta(hours=1)


def indexes() -> Indexes:
    return {
        COLLECTION: [
            *job_indexes(),
            # deletes old jobs
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_DAYS * 86_400),
        ]
    }


def preparing_max(enrichment: Enrichment, priority: Priority) -> timedelta:
    """Return how long a send may be PREPARING. Then `on_failure` counts, whatever happened to the call."""
    if enrichment.on_failure is not EnrichmentFailure.SEND:
        return PREPARING_MAX
    return CRITICAL_MAX if priority is Priority.CRITICAL else SEND_MAX


def job_lane(priority: Priority, tenant: str) -> str:
    """Return the name of the lane of a job."""
    return lane_of(CRITICAL_LANE if priority is Priority.CRITICAL else LANE, priority, tenant)


def new_job(send: str, tenant: str, priority: Priority, now: datetime, queued: timedelta = timedelta()) -> Document:
    """Return the document of a job. `queued`: the job is put on its lane now, and may be there for this long."""
    return document(
        EnrichmentJob(
            id=send,
            tenant=tenant,
            status=DeliveryStatus.ACCEPTED,
            priority=priority,
            lane=job_lane(priority, tenant),
            enqueue_count=int(bool(queued)),
            due_at=now + queued,
            created_at=now,
            updated_at=now,
        )
    )


class EnrichmentJobs:
    def __init__(self, database: Database, enqueuer: Enqueuer, clock: Clock) -> None:
        self._jobs = database[COLLECTION]
        self._enqueuer = enqueuer
        self._clock = clock

    def enqueue(self, send: str, tenant: str, priority: Priority) -> None:
        """Put a committed job on its lane."""
        self._enqueuer.put([(job_lane(priority, tenant), send)])

    async def reopen(self, send: str, tenant: str, priority: Priority) -> None:
        """Make the job of a send that was resumed due now."""
        running = {"_id": send, "status": DeliveryStatus.PROCESSING}
        if (await self._jobs.update_one(running, {"$set": {"resumed": True}})).matched_count:
            return
        waiting = {"_id": send, "status": {"$ne": DeliveryStatus.PROCESSING}}
        with suppress(DuplicateKeyError):  # a worker has claimed the job since
            await self._jobs.replace_one(waiting, new_job(send, tenant, priority, self._clock()), upsert=True)

    async def was_tried(self, send: str) -> bool:
        """Return True if an attempt for this send has failed."""
        return await self._jobs.find_one({"_id": send, "tries": {"$gte": 1}}, {"_id": 1}) is not None
