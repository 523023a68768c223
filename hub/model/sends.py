"""Sends."""

from datetime import datetime

from hub.model.record import Record
from hub.model.statuses import SendStatus


class Send(Record, frozen=True, rename={"id": "_id"}):
    """One accepted `send`. `recipients`: the number of users."""

    id: str
    tenant: str
    category: str
    status: SendStatus
    created_at: datetime
    recipients: int
