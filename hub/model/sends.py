"""Sends."""

from datetime import datetime

from hub.model.notifications import Content
from hub.model.record import Record
from hub.model.statuses import SendStatus
from hub.model.steps import Step


class Send(Record, frozen=True, rename={"id": "_id"}):
    """One accepted `send`. `recipients`: the number of users. `content`: None after a recall, and after the last
    recipient of a small send was erased."""

    id: str
    tenant: str
    category: str
    status: SendStatus
    created_at: datetime
    recipients: int
    collapse_key: str | None = None
    steps: tuple[Step, ...] = ()
    content: Content | None = None

    @property
    def title(self) -> str | None:
        """The title as it was sent."""
        return self.content.title if self.content else None


SEND_CONTENT_FIELDS = ("content",)
"""The fields that a recall deletes."""
