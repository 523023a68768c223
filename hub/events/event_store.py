"""The stored events. An event is a job of the outbox, in one lane per tenant."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import orjson
from msgspec import Struct
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError

from hub.errors import Unavailable
from hub.events.cloud_events import NewEvent
from hub.ids import first_id_at, new_id
from hub.model import (
    EVENT_JOB_STATUSES,
    DeliveryStatus,
    Event,
    EventStatus,
    Priority,
    RuleResult,
    document,
    event_status,
)
from hub.outbox.lanes import lane_of
from hub.outbox.restored_jobs import release_jobs, restored_index
from hub.outbox.retry_delay import job_indexes
from hub.platform.connections import DUPLICATE_KEY, Database, Document, Indexes
from hub.platform.tolerant_decoding import decode, decode_page
from hub.settings import Settings
from hub.utc_time import Clock

COLLECTION = "events"
LANE = "EVENTS"
TOO_LARGE = "TOO_LARGE"
"""The reason of an event of which only the beginning is stored."""
DAY_S = 86_400
FAILED_COUNTED_MAX = 1000
EXPORTED_FIELDS = ("event_id", "source", "type", "subject", "time", "data", "attributes", "results")
RARE_STATUSES = frozenset({EventStatus.RECEIVED, EventStatus.FAILED})
"""The statuses of few events. Nearly all events have one of the others."""
REPLAYABLE = [
    of_job
    for status in (EventStatus.PROCESSED, EventStatus.UNMATCHED, EventStatus.FAILED)
    for of_job in EVENT_JOB_STATUSES[status]
]


def indexes(settings: Settings) -> Indexes:
    newest = ("_id", DESCENDING)  # ids sort by time
    return {
        COLLECTION: [
            # finds the earlier one of two events with the same source and id
            IndexModel([("tenant", ASCENDING), ("key", ASCENDING)], name="key", unique=True),
            # a tenant's events, newest first
            IndexModel([("tenant", ASCENDING), newest], name="tenant"),
            # a tenant's events with given statuses, newest first
            IndexModel([("tenant", ASCENDING), ("status", ASCENDING), newest], name="status"),
            # a tenant's events of given types, newest first
            IndexModel([("tenant", ASCENDING), ("type", ASCENDING), newest], name="type"),
            # the events about a user, for the export and the erasure
            IndexModel(
                [("tenant", ASCENDING), ("subject", ASCENDING), newest],
                name="subject",
                partialFilterExpression={"subject": {"$exists": True}},
            ),
            *job_indexes(),
            restored_index(),
            # deletes old events
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=settings.events_days * DAY_S),
        ]
    }


class EventQuery(Struct, frozen=True, kw_only=True):
    """A selection of a tenant's events. Without conditions, all are selected."""

    types: tuple[str, ...] = ()
    source: str | None = None
    statuses: tuple[EventStatus, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


class StoredEvent(Struct, frozen=True):
    """An event that is stored durably. `duplicate`: it was stored before."""

    id: str
    event_id: str
    duplicate: bool


def event_key(source: str, event_id: str) -> str:
    """Return the hash that identifies an event in its tenant."""
    return sha256(orjson.dumps([source, event_id])).hexdigest()


def match_subject(tenant: str, subject: str) -> Document:
    """Return the match of the events about a user."""
    return {"tenant": tenant, "subject": subject}


def exported(docs: Iterable[Document]) -> list[Document]:
    """Return the documents of events as an export lists them."""
    return [
        {"_id": event.id, "status": event_status(event), "received_at": event.created_at}
        | {name: value for name in EXPORTED_FIELDS if (value := doc.get(name)) is not None}
        for doc in docs
        if (event := decode(doc, Event))
    ]


class EventStore:
    """`queue_s`: how long an event may be on its lane before it is due again."""

    def __init__(self, database: Database, clock: Clock, queue_s: float) -> None:
        self._events = database[COLLECTION]
        self._clock = clock
        self._queue_s = queue_s

    async def insert(self, tenant: str, events: Sequence[NewEvent]) -> list[StoredEvent]:
        """Store events, and return the result of each. When the method returns, a majority of the servers has written
        all of them to disk. Raise Unavailable or PyMongoError; some events may then have been stored."""
        now = self._clock()
        new = [self._new(tenant, event, now) for event in events]
        try:
            await self._events.insert_many([document(event) for event in new], ordered=False)
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise Unavailable("MongoDB has not confirmed the events. Send them again.") from error
            if any(one.get("code") != DUPLICATE_KEY for one in error.details.get("writeErrors", [])):
                raise
        else:
            return [StoredEvent(event.id, event.event_id, duplicate=False) for event in new]
        ids = await self._find_ids(tenant, [event.key for event in new])
        return [
            StoredEvent(ids.get(event.key, event.id), event.event_id, duplicate=ids.get(event.key) != event.id)
            for event in new
        ]

    async def _find_ids(self, tenant: str, keys: Sequence[str]) -> dict[str, str]:
        """Return the ids of the events with these keys. A failed insertion waits for the write concern, too, so the
        earlier events are stored durably."""
        docs = self._events.find({"tenant": tenant, "key": {"$in": list(keys)}}, {"key": 1}, hint="key")
        return {doc["key"]: doc["_id"] async for doc in docs}

    def _new(self, tenant: str, event: NewEvent, now: datetime) -> Event:
        waits = not event.too_large
        return Event(
            id=new_id(now),
            tenant=tenant,
            key=event_key(event.source, event.event_id),
            event_id=event.event_id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            time=event.time or now,
            data=event.data,
            attributes=event.attributes,
            status=DeliveryStatus.ACCEPTED if waits else DeliveryStatus.FAILED,
            reason=None if waits else TOO_LARGE,
            created_at=now,
            updated_at=now,
            lane=event_lane(tenant),
            enqueue_count=1 if waits else 0,
            due_at=now + timedelta(seconds=self._queue_s) if waits else None,
        )

    async def get(self, tenant: str, id: str) -> Event | None:
        """Return an event, or None if the tenant has no event with this id."""
        doc = await self._events.find_one({"_id": id, "tenant": tenant})
        return decode(doc, Event) if doc else None

    async def page(
        self, tenant: str, query: EventQuery, first: int, after: str | None, *, with_data: bool
    ) -> list[Event]:
        """Return up to `first` events with an id less than `after`, newest first, without their `attributes`. Without
        `with_data`, `data` is None."""
        match: Document = {"tenant": tenant}
        index = "tenant"
        if query.types:
            match["type"], index = {"$in": list(query.types)}, "type"
        if query.statuses:
            of_jobs = [of_job for status in query.statuses for of_job in EVENT_JOB_STATUSES[status]]
            match["status"] = {"$in": of_jobs}
            if not query.types or RARE_STATUSES.issuperset(query.statuses):
                index = "status"
        if query.source is not None:
            match["source"] = query.source
        bounds: Document = {}
        if after is not None:
            bounds["$lt"] = after
        if query.until is not None:
            bounds["$lt"] = min(first_id_at(query.until), bounds.get("$lt", "~"))
        if query.since is not None:
            bounds["$gte"] = first_id_at(query.since)
        if bounds:
            match["_id"] = bounds
        fields = {"attributes": 0} if with_data else {"attributes": 0, "data": 0}
        return await decode_page(self._events.find(match, fields, hint=index).sort("_id", DESCENDING), Event, first)

    async def count_failed(self, tenant: str) -> int:
        """Return the number of FAILED events, counted up to FAILED_COUNTED_MAX."""
        match = {"tenant": tenant, "status": DeliveryStatus.FAILED}
        return await self._events.count_documents(match, hint="status", limit=FAILED_COUNTED_MAX)

    async def record_results(self, event: Event, results: Sequence[RuleResult]) -> bool:
        """Store the results of the rules. Return False if another worker has claimed the event since."""
        match = {"_id": event.id, "claim": event.claim}
        update = {"$set": {"results": [document(result) for result in results]}}
        return (await self._events.update_one(match, update)).matched_count == 1

    async def replay(self, tenant: str, ids: Collection[str]) -> int:
        """Make events whose rules have run, or failed, wait again. Return the number of events."""
        now = self._clock()
        match = {"_id": {"$in": list(ids)}, "tenant": tenant, "status": {"$in": REPLAYABLE}}
        update = {
            "$set": {"status": DeliveryStatus.ACCEPTED, "due_at": now, "updated_at": now},
            "$unset": dict.fromkeys(("tries", "lease_expirations", "reason", "enqueue_count", "claim"), ""),
        }
        return (await self._events.update_many(match, update)).modified_count

    async def release_restored(self, tenant: str) -> int:
        """Run the rules of events that are held since a restore, at most one slice. Return the number of events."""
        return await release_jobs(self._events, tenant, self._clock())


def event_lane(tenant: str) -> str:
    """Return the lane of a tenant's events."""
    return lane_of(LANE, Priority.MEDIUM, tenant)
