"""The authenticated caller."""

from collections.abc import Set
from enum import StrEnum

from hub.model.mailboxes import mailbox_of
from hub.model.record import Record


class Role(StrEnum):
    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


class Principal(Record, frozen=True):
    """The caller that a verified token or service key identifies.

    - `expires_at`: the expiry as a Unix time in seconds.
    - `key`: the id of the service key. Empty for a token.
    - `scopes`: the scopes of the service key. Empty if nothing narrows the role.
    """

    tenant: str
    user: str
    role: Role
    expires_at: float
    key: str = ""
    scopes: Set[str] = frozenset()

    @property
    def mailbox(self) -> str:
        return mailbox_of(self.tenant, self.user)

    @property
    def actor(self) -> str:
        """The name under which changes are recorded: the user, the service key, or the role."""
        return self.user or (f"key:{self.key}" if self.key else self.role.value)
