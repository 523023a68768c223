"""The authenticated caller."""

from collections.abc import Set
from enum import StrEnum

from hub.model.mailboxes import mailbox_of
from hub.model.record import Record


class Role(StrEnum):
    USER = "user"
    VIEWER = "viewer"
    SUPPORT = "support"
    OPERATOR = "operator"
    SERVICE = "service"
    ADMIN = "admin"


STAFF = (Role.VIEWER, Role.SUPPORT, Role.OPERATOR)
"""The roles of people who use the console. Each may do everything that the roles before it may do."""
ANONYMOUS = frozenset({Role.SERVICE, Role.ADMIN})
"""The roles whose tokens need not name a user. The name of the role is then the actor."""
KEY_ACTOR_PREFIX = "key:"
CLI_ACTOR_PREFIX = "cli:"


def is_person(actor: str) -> bool:
    """Return False if an actor is a role, a service key, or the account that ran a command. An erasure never replaces
    these names, although a user may have such an id."""
    return actor not in ANONYMOUS and not actor.startswith((KEY_ACTOR_PREFIX, CLI_ACTOR_PREFIX))


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
    def is_staff(self) -> bool:
        return self.role in STAFF

    @property
    def mailbox(self) -> str:
        return mailbox_of(self.tenant, self.user)

    @property
    def actor(self) -> str:
        """The name under which changes are recorded: the user, the service key, or the role."""
        return self.user or (f"{KEY_ACTOR_PREFIX}{self.key}" if self.key else self.role.value)
