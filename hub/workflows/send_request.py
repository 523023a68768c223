"""A validated send request, and the hash that identifies it for idempotency."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec
import orjson
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from hub.audience.filters import redacted
from hub.decide.digest import Digest
from hub.decide.plan import NO_CHANNELS, Requested
from hub.decide.templates.render_input import merged_data
from hub.decide.throttle import Throttle
from hub.model import (
    BecauseKind,
    Channel,
    Content,
    Priority,
    SendAudience,
    Step,
    Tenant,
    User,
)

EPOCH = datetime.fromtimestamp(0, UTC)
MILLISECOND = timedelta(milliseconds=1)


class TemplateReference(Struct, frozen=True, omit_defaults=True):
    """The template of a send. `data` is JSON text that only the template reads. It lies over the `data` of the send."""

    key: str
    data: str | None = None


class DecisionData(Struct, frozen=True):
    """The data that decisions require. It is read when the transaction begins. `opted_out`: the channels from whose
    senders a phone number opted out, by number."""

    users: Mapping[str, User]
    tenants: Mapping[str, Tenant]
    opted_out: Mapping[str, frozenset[Channel]] = {}

    def opted_out_of(self, user: User) -> frozenset[Channel]:
        """Return the channels from whose senders the phone number of a user opted out."""
        return self.opted_out.get(user.phone, NO_CHANNELS) if user.phone else NO_CHANNELS


class SendRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A validated send request, with either `content` or `template`. `users` contains no duplicates and none of the
    users in `excluded`. It is empty if the request has an `audience`. A field named `data` is JSON text, and the names
    of durations end in `_s`. `from_own_event`: a rule makes the send for one of the hub's own events. `enriched`: JSON
    text of the enrichment, set when a send that was PREPARING is published. Default values are not part of the hash
    that is compared for idempotency, so a new field does not change the hash of earlier requests."""

    users: tuple[str, ...]
    category: str
    audience: SendAudience | None = None
    excluded: tuple[str, ...] = ()
    content: Content | None = None
    template: TemplateReference | None = None
    data: str | None = None
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    channels: tuple[Channel, ...] | None = None
    steps: tuple[Step, ...] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    require_ack: bool = False
    pinned: bool = False
    collapse_key: str | None = None
    thread_key: str | None = None
    throttle: Throttle | None = None
    digest: Digest | None = None
    guard: bool = True
    from_own_event: bool = False
    created_by: str | None = None
    enriched: str | None = None

    @property
    def requested(self) -> Requested:
        """The part of the request that the decision requires."""
        return Requested(self.channels, self.priority, self.steps, self.require_ack)

    @property
    def recorded_audience(self) -> SendAudience | None:
        """The audience that the record of the send keeps: its filter identifies no user."""
        if self.audience is None or self.audience.where is None:
            return self.audience
        return replace(self.audience, where=orjson.dumps(redacted(orjson.loads(self.audience.where))).decode())

    @property
    def because(self) -> str:
        """`Notification.because` of the recipients."""
        return self.audience.because if self.audience else BecauseKind.NAMED.value

    @property
    def is_removable(self) -> bool:
        """True if something other than the retention period may remove the notifications."""
        return bool(self.expires_at or self.collapse_key)


def enrichment_data(request: SendRequest) -> bytes:
    """Return the data of a send as templates read it, as JSON: the body of the call that enriches it."""
    data = merged_data(request.data, request.template.data if request.template else None)
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def request_text(request: SendRequest) -> str:
    """Return the JSON text of a request without the users that it names, who are stored where they can be erased."""
    return msgspec.json.encode(replace(request, users=(), excluded=(), created_by=None)).decode()


def request_hash(request: SendRequest) -> str:
    """Return the hash of a request. It does not depend on the order of users, the spelling of JSON, or explicit default
    values. Instants and durations are hashed in milliseconds."""
    priority = None if request.priority is Priority.MEDIUM else request.priority
    users, excluded = tuple(sorted(request.users)), tuple(sorted(request.excluded))
    normal = replace(request, users=users, excluded=excluded, priority=priority, created_by=None)
    fields = to_builtins(normal, builtin_types=(datetime,))
    return sha256(orjson.dumps(_normalized("", fields), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _normalized(name: str, value: Any) -> Any:
    """Return the value of a field as it is hashed."""
    match value:
        case dict():
            return {name: _normalized(name, inner) for name, inner in value.items()}
        case list() | tuple():
            return [_normalized(name, inner) for inner in value]
        case datetime():
            return (value - EPOCH) // MILLISECOND
        case int() if name.endswith("_s"):
            return value * 1000
        case str() if name in ("data", "where"):
            return orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS).decode()
        case _:
            return value
