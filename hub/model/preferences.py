"""Preferences of users, and the defaults of tenants."""

from datetime import datetime

from hub.model.channels import Channel, Priority
from hub.model.record import Record

EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


class DigestChoice(Record, frozen=True):
    """How deliveries are gathered: for `window_s`, where 0 gathers nothing, or until the local time `at` (HH:MM) on the
    ISO weekdays `days`. Exactly one of `window_s` and `at` is set."""

    window_s: int | None = None
    at: str | None = None
    days: tuple[int, ...] = EVERY_DAY


class CategoryPreference(Record, frozen=True):
    """A preference for one category. For a channel that is not in `channels`, the default applies. `digests`: the
    channels whose deliveries are gathered in another way than the sender says."""

    category: str
    channels: dict[Channel, bool] = {}
    muted_until: datetime | None = None
    digests: dict[Channel, DigestChoice] = {}

    def with_defaults(self, defaults: "CategoryPreference") -> "CategoryPreference":
        """Return this preference with unset values taken from `defaults`."""
        return CategoryPreference(
            category=self.category,
            channels=defaults.channels | self.channels,
            muted_until=defaults.muted_until if self.muted_until is None else self.muted_until,
            digests=defaults.digests | self.digests,
        )


class QuietHours(Record, frozen=True):
    """A window of local time. `start` and `end` have the form HH:MM; if they are equal, the window is a whole day.

    - `days`: the ISO weekdays on which the window starts. A window over midnight belongs to the day of its start.
    - `timezone`: None for the time zone of the user.
    - `allow`: this priority and higher ones pass.
    """

    start: str
    end: str
    days: tuple[int, ...] = EVERY_DAY
    timezone: str | None = None
    allow: Priority = Priority.CRITICAL


class Preferences(Record, frozen=True):
    """The preferences that differ from the default. By default, everything is enabled, at any time.

    `quiet_schedule`, `do_not_disturb_until`, and `daily_limit` are None if they are not set."""

    channels: dict[Channel, bool] = {}
    categories: tuple[CategoryPreference, ...] = ()
    quiet_schedule: tuple[QuietHours, ...] | None = None
    do_not_disturb_until: datetime | None = None
    daily_limit: int | None = None

    def for_category(self, category: str) -> CategoryPreference:
        """Return the preference for a category, or an empty preference if there is none."""
        stored = (preference for preference in self.categories if preference.category == category)
        return next(stored, CategoryPreference(category=category))

    @property
    def times(self) -> tuple[object, ...]:
        """The preferences that decide when a delivery leaves."""
        digests = {one.category: one.digests for one in self.categories if one.digests}
        return self.quiet_schedule, self.do_not_disturb_until, self.daily_limit, digests

    @property
    def concerns_channels(self) -> bool:
        """Return True if a channel is switched on or off, or if something is set for a category."""
        return bool(self.channels or self.categories)

    @property
    def limits_interruptions(self) -> bool:
        """Return True if quiet hours, do-not-disturb, or a daily limit is set."""
        return bool(self.quiet_schedule or self.do_not_disturb_until) or self.daily_limit is not None


NO_PREFERENCES = Preferences()
