"""Entries of the audit log."""

from datetime import datetime

from hub.model.record import Record


class AuditEntry(Record, frozen=True, rename={"id": "_id"}):
    """One change, and who made it.

    - `id`: sorts by time. `at` is the same time.
    - `actor`: the user or key of the token, or its role if it names none; of a command, `cli:` and the account.
    - `action`: the name of the mutation, or of the command.
    - `target`: the key or id of what was changed. `is_user`: it is the id of a user.
    - `changes`: a JSON object.
    """

    id: str
    tenant: str
    at: datetime
    actor: str
    action: str
    target: str | None = None
    is_user: bool = False
    request_id: str | None = None
    changes: str | None = None


class AuditQuery(Record, frozen=True):
    """Selects entries. Null selects all. `since` is included, `until` is not."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
