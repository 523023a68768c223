"""The authenticated caller."""

from enum import StrEnum

from hub.model.mailboxes import mailbox_of
from hub.model.record import Record


class Role(StrEnum):
    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


class Principal(Record, frozen=True):
    """The caller that a verified token identifies. `expires_at`: the expiry as a Unix time in seconds."""

    tenant: str
    user: str
    role: Role
    expires_at: float

    @property
    def mailbox(self) -> str:
        return mailbox_of(self.tenant, self.user)
