"""Tenants, their categories and their webhook endpoints."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.preferences import NO_PREFERENCES, Preferences
from hub.model.record import Record


class Category(Record, frozen=True):
    """A kind of notification with its own preferences. Users cannot disable a `required` one."""

    key: str
    name: str
    description: str | None = None
    required: bool = False
    default_channels: tuple[Channel, ...] = (Channel.IN_APP,)
    priority: Priority = Priority.MEDIUM
    retention_s: int | None = None


class WebhookEndpoint(Record, frozen=True):
    """A URL of a tenant that is called about events.

    - `events`: empty for all, including future ones.
    - `secrets`: the newest one signs. The previous one signs too until a day after `rotated_at`.
    - `failing_since`: since then no call succeeded, and at least one was given up.
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


class Tenant(Record, frozen=True, rename={"id": "_id"}):
    """The configuration of a tenant in one document. `version` increases with every change. `preferences`: the defaults
    of its users."""

    id: str
    version: int = 0
    name: str = ""
    logo_url: str | None = None
    color: str | None = None
    preferences: Preferences = NO_PREFERENCES
    categories: tuple[Category, ...] = ()
    endpoints: tuple[WebhookEndpoint, ...] = ()

    def category(self, key: str) -> Category | None:
        return next((category for category in self.categories if category.key == key), None)
