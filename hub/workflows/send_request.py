"""A validated send request, and the hash that identifies it for idempotency."""

from datetime import datetime
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.decide.plan import Requested
from hub.model import (
    Channel,
    Content,
    Priority,
)


class SendRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A validated send request. `data` is JSON text. `users` contains no duplicates. Default values are not part of the
    hash that is compared for idempotency, so a new field does not change the hash of earlier requests."""

    users: tuple[str, ...]
    category: str
    content: Content
    data: str | None = None
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    channels: tuple[Channel, ...] | None = None
    expires_at: datetime | None = None
    require_ack: bool = False

    @property
    def requested(self) -> Requested:
        """The part of the request that the decision requires."""
        return Requested(self.channels, self.priority)


def request_hash(request: SendRequest) -> str:
    """Return the hash of a request. It does not depend on the order of users or on explicit default values."""
    normalized = replace(request, users=tuple(sorted(request.users)), priority=request.priority or Priority.MEDIUM)
    return sha256(msgspec.json.encode(normalized)).hexdigest()
