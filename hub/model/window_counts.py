"""Counts of events in time windows."""

from datetime import datetime

from hub.model.record import Record


class WindowCount(Record, frozen=True, rename={"id": "_id"}, omit_defaults=False):
    """The number of events of one kind for one mailbox since `started_at`. Deleted after `expires_at`."""

    id: str
    count: int
    started_at: datetime
    expires_at: datetime
