"""Tenants, their categories, and their webhook endpoints."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.preferences import NO_PREFERENCES, Preferences
from hub.model.record import Record
from hub.model.steps import Step

DEFAULT_TIMEZONE = "UTC"
DEFAULT_LOCALE = "en"


class Category(Record, frozen=True):
    """A kind of notification with its own preferences. Users cannot disable a `required` category. Notifications are
    removed from inboxes `retention_s` after the send. `steps` apply to sends that name neither channels nor steps. The
    deliveries of sends without a digest are gathered for `digest_s`."""

    key: str
    name: str
    description: str | None = None
    required: bool = False
    default_channels: tuple[Channel, ...] = (Channel.IN_APP,)
    priority: Priority = Priority.MEDIUM
    retention_s: int | None = None
    steps: tuple[Step, ...] = ()
    digest_s: int | None = None


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


class Tenant(Record, frozen=True, rename={"id": "_id"}):
    """The configuration of a tenant in one document. `version` increases with every change. `timezone`, `locale`, and
    `preferences` are the defaults of the tenant's users."""

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

    def category(self, key: str) -> Category | None:
        return next((category for category in self.categories if category.key == key), None)
