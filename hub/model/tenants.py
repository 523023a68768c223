"""Tenants, their categories, and their webhook endpoints."""

import re
from datetime import datetime
from enum import StrEnum

from hub.model.channels import Channel, Priority
from hub.model.preferences import NO_PREFERENCES, Preferences
from hub.model.record import Record
from hub.model.steps import Step

DEFAULT_TIMEZONE = "UTC"
DEFAULT_LOCALE = "en"
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TENANT_RULE = "1 to 64 letters, digits, dots, dashes or underscores that start with a letter or digit"


class EnrichmentFailure(StrEnum):
    SEND = "SEND"
    RETRY = "RETRY"
    FAIL = "FAIL"


class Enrichment(Record, frozen=True):
    """Where more data for the templates of a category comes from. `revision`: the id of this set-up, which changes with
    every other field."""

    url: str
    revision: str = ""
    ttl_s: int = 0
    timeout_s: int = 5
    on_failure: EnrichmentFailure = EnrichmentFailure.SEND


class Category(Record, frozen=True):
    """A kind of notification with its own preferences. Users cannot disable a `required` category. Notifications are
    removed from inboxes `retention_s` after the send. `steps` apply to sends that name neither channels nor steps. The
    deliveries of sends without a digest are gathered for `digest_s`. Sends get the data of `enrichment` before they are
    decided."""

    key: str
    name: str
    description: str | None = None
    required: bool = False
    default_channels: tuple[Channel, ...] = (Channel.IN_APP,)
    priority: Priority = Priority.MEDIUM
    retention_s: int | None = None
    steps: tuple[Step, ...] = ()
    digest_s: int | None = None
    enrichment: Enrichment | None = None


class WebhookEndpoint(Record, frozen=True):
    """A URL of a tenant that the hub calls when events occur.

    - `events`: the event types. Empty for all types, including future types.
    - `secrets`: the signing keys. Calls are signed with the newest key, and until a day after `rotated_at` also with
      the previous key. They are encrypted if `encrypted_with` is set (`hub/platform/encryption.py`).
    - `failing_since`: the time since which no call has succeeded and at least one call has failed finally.
    """

    id: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[str, ...]
    created_at: datetime
    enabled: bool = True
    disabled_reason: str | None = None
    rotated_at: datetime | None = None
    failing_since: datetime | None = None
    encrypted_with: str | None = None


class EnrichmentSecrets(Record, frozen=True):
    """The signing keys of a tenant's enrichment calls, as those of a webhook endpoint."""

    id: str
    secrets: tuple[str, ...]
    rotated_at: datetime | None = None
    encrypted_with: str | None = None


class PausedChannel(Record, frozen=True):
    """A channel on which no call starts since `since`, on the hub's clock. `reason`: the text of the operator, or
    empty."""

    channel: Channel
    since: datetime
    reason: str = ""


class ResumedChannel(Record, frozen=True):
    """A channel that was resumed at `at`, by real time, while what waited for it is released."""

    channel: Channel
    at: datetime


class Tenant(Record, frozen=True, rename={"id": "_id"}):
    """The configuration of a tenant in one document. `version` increases with every change. `timezone`, `locale`, and
    `preferences` are the defaults of the tenant's users. `enrichment_secrets` has at most one item. `used_channels`:
    the channels that sends have named, as `channel_use` returns them. None if they are not known yet
    (`hub/workflows/channel_use_recorder.py`). A channel is in `paused_channels` or in `resumed_channels`, not in
    both."""

    id: str
    version: int = 0
    name: str = ""
    logo_url: str | None = None
    color: str | None = None
    timezone: str = DEFAULT_TIMEZONE
    locale: str = DEFAULT_LOCALE
    preferences: Preferences = NO_PREFERENCES
    categories: tuple[Category, ...] = ()
    endpoints: tuple[WebhookEndpoint, ...] = ()
    enrichment_secrets: tuple[EnrichmentSecrets, ...] = ()
    used_channels: frozenset[str] | None = None
    paused_channels: tuple[PausedChannel, ...] = ()
    resumed_channels: tuple[ResumedChannel, ...] = ()

    def is_paused(self, channel: Channel) -> bool:
        """Return True if no call on the channel may start."""
        return any(paused.channel is channel for paused in self.paused_channels)

    def category(self, key: str) -> Category | None:
        return next((category for category in self.categories if category.key == key), None)


def channel_use(category: str, channel: Channel) -> str:
    """Return the text that stands for a channel of a category in `Tenant.used_channels`."""
    return f"{channel} {category}"
