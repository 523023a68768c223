"""Service keys: the credentials of back ends."""

from datetime import datetime
from enum import StrEnum

from hub.model.record import Record


class Scope(StrEnum):
    """Operations that a service key may do. A key without scopes may do everything that its role may."""

    SEND = "SEND"
    READ = "READ"
    EVENTS = "EVENTS"
    PEOPLE = "PEOPLE"


class KeyRole(StrEnum):
    """The roles of service keys. The names are those of `Role`."""

    SERVICE = "SERVICE"
    ADMIN = "ADMIN"
    VIEWER = "VIEWER"
    SUPPORT = "SUPPORT"
    OPERATOR = "OPERATOR"


class ServiceKey(Record, frozen=True, rename={"id": "_id"}):
    """A credential of one tenant. The secret is stored as its SHA-256, `hash`.

    - `scopes`: values of `Scope`. A scope of a newer version is kept as text: if it were left out, a key with only this
      scope would have no scopes, and could do everything.
    - `preview`: the first characters of the secret.
    - `created_by`: the user or role that created the key.
    - `last_used_at`: to the minute.
    """

    id: str
    tenant: str
    hash: str
    name: str
    role: KeyRole
    scopes: tuple[str, ...]
    preview: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
