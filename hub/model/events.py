"""Events, and the results of the rules that ran for them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from msgspec import Struct

from hub.model.channels import Priority
from hub.model.outbox_jobs import Job
from hub.model.record import Record
from hub.model.statuses import DeliveryStatus


class EventStatus(StrEnum):
    RECEIVED = "RECEIVED"
    PROCESSED = "PROCESSED"
    UNMATCHED = "UNMATCHED"
    FAILED = "FAILED"


EVENT_JOB_STATUSES: dict[EventStatus, tuple[DeliveryStatus, ...]] = {
    EventStatus.RECEIVED: (
        DeliveryStatus.ACCEPTED,
        DeliveryStatus.HELD,
        DeliveryStatus.PROCESSING,
        DeliveryStatus.RETRYING,
    ),
    EventStatus.PROCESSED: (DeliveryStatus.DELIVERED,),
    EventStatus.UNMATCHED: (DeliveryStatus.SKIPPED,),
    EventStatus.FAILED: (DeliveryStatus.FAILED,),
}
"""The statuses of the job of an event, by the status of the event."""


class RuleResult(Record, frozen=True):
    """The result of a rule for an event. `send`: the id of the send that the rule made. None if it made none; `reason`
    then states why."""

    rule: str
    matched: bool
    reason: str | None = None
    send: str | None = None


class RulesRun(Struct, frozen=True):
    """The results of the rules that ran for an event. `left_out`: the reason that one of them did not run. The event is
    then tried again, at the earliest after `retry_after_s`."""

    results: list[RuleResult]
    left_out: str | None = None
    retry_after_s: float | None = None


class Event(Job, frozen=True, kw_only=True):
    """An event of CloudEvents 1.0.

    - `event_id`: the `id` of the event. It is unique together with `source`. `key`: the hash of both.
    - `data`: JSON text. `attributes`: the other attributes of the event, such as extensions.
    - `created_at`: the time when the event was received.
    - `results`: one for each rule whose type pattern fits, after the rules ran.
    """

    key: str
    event_id: str
    source: str
    type: str
    time: datetime
    subject: str | None = None
    data: str | None = None
    attributes: dict[str, str | int | bool] = {}
    results: tuple[RuleResult, ...] = ()
    priority: Priority = Priority.MEDIUM


def event_status(event: Event) -> EventStatus:
    """Return the status of an event."""
    return next(status for status, of_job in EVENT_JOB_STATUSES.items() if event.status in of_job)


def event_values(event: Event) -> dict[str, Any]:
    """Return the event as rules read it: an object in the JSON format of CloudEvents. Absent attributes are left
    out."""
    values: dict[str, Any] = {
        **event.attributes,
        "specversion": "1.0",
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "time": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if event.subject is not None:
        values["subject"] = event.subject
    if event.data is not None:
        values["data"] = orjson.loads(event.data)
    return values
