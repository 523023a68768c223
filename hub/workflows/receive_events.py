"""The receipt of events: stored durably, then queued for the workers."""

from collections.abc import Sequence

from hub.events.cloud_events import NewEvent
from hub.events.event_store import EventStore, StoredEvent, event_lane
from hub.outbox.enqueuer import Enqueuer
from hub.platform import metrics


class ReceiveEvents:
    def __init__(self, store: EventStore, enqueuer: Enqueuer) -> None:
        self._store = store
        self._enqueuer = enqueuer

    async def receive(self, tenant: str, events: Sequence[NewEvent], through: str) -> list[StoredEvent]:
        """Store events durably, and return the result of each. `through`: the way on which they arrived. Raise
        Unavailable or PyMongoError; some events may then have been stored."""
        stored = await self._store.insert(tenant, events)
        lane = event_lane(tenant)
        self._enqueuer.put(
            [
                (lane, one.id)
                for one, event in zip(stored, events, strict=True)
                if not one.duplicate and not event.too_large
            ]
        )
        for one in stored:
            metrics.events_received.labels(through, "duplicate" if one.duplicate else "stored").inc()
        return stored
