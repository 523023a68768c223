"""Builds the components that store events and run their rules."""

from dataclasses import dataclass

from hub.events.event_store import COLLECTION, EventStore
from hub.model import Event
from hub.outbox.claims import Claims, NoReceipts
from hub.outbox.enqueuer import Enqueuer
from hub.outbox.lanes import Lanes
from hub.platform.connections import Database
from hub.settings import Settings
from hub.utc_time import Clock, RealClock
from hub.workflows.due_jobs import DueJobs
from hub.workflows.receive_events import ReceiveEvents
from hub.workflows.scheduler import PeriodicTask


@dataclass(frozen=True, slots=True)
class EventComponents:
    store: EventStore
    claims: Claims[Event]
    enqueuer: Enqueuer
    receive: ReceiveEvents
    due: PeriodicTask


def build_event_components(
    database: Database, settings: Settings, lanes: Lanes, now: Clock, real_now: RealClock
) -> EventComponents:
    store = EventStore(database, now, settings.requeue_after_s)
    claims = Claims(database, COLLECTION, Event, now, real_now, settings.requeue_after_s, NoReceipts())
    enqueuer = Enqueuer(lanes, claims)
    due = DueJobs("events", claims, lanes, now, settings)
    return EventComponents(
        store, claims, enqueuer, ReceiveEvents(store, enqueuer), PeriodicTask("due_events", due.tick)
    )
