"""Computes changes to stored preferences, and the matrix of all effective preferences. Performs no I/O."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from hub.decide.effective_preferences import EffectivePreferences
from hub.decide.reach import Reachability
from hub.model import (
    EVERY_DAY,
    Category,
    CategoryPreference,
    Channel,
    DigestChoice,
    Preferences,
    Priority,
    QuietHours,
    Reach,
)


class CellChange(Struct, frozen=True, kw_only=True):
    """A change to one cell, or to the whole row if `channel` is None. UNSET keeps a value, and None clears it."""

    category: str
    channel: Channel | None = None
    enabled: bool | UnsetType | None = UNSET
    muted_until: datetime | UnsetType | None = UNSET
    digest_s: int | UnsetType | None = UNSET
    digest_at: str | UnsetType | None = UNSET
    digest_days: tuple[int, ...] | UnsetType | None = UNSET


class Changes(Struct, frozen=True, kw_only=True):
    """A change to preferences. UNSET keeps a value, and None clears it."""

    channels: dict[Channel, bool] | UnsetType | None = UNSET
    categories: tuple[CellChange, ...] | UnsetType | None = UNSET
    quiet_schedule: tuple[QuietHours, ...] | UnsetType | None = UNSET
    do_not_disturb_until: datetime | UnsetType | None = UNSET
    daily_limit: int | UnsetType | None = UNSET


class ChannelSwitch(Struct, frozen=True):
    channel: Channel
    enabled: bool


class Cell(Struct, frozen=True):
    """One channel of one category. `locked`: the category is required, so the channel is always on. `reach`: whether
    the category can arrive there. `digest`: how its deliveries are gathered, if the user or the tenant chose it."""

    channel: Channel
    enabled: bool
    locked: bool
    reach: Reach
    digest: DigestChoice | None = None

    @property
    def digest_s(self) -> int | None:
        """The window in seconds. 0 if nothing is gathered."""
        return self.digest.window_s if self.digest else None

    @property
    def digest_at(self) -> str | None:
        """The local time at which gathered deliveries leave."""
        return self.digest.at if self.digest else None

    @property
    def digest_days(self) -> list[int] | None:
        """The weekdays on which gathered deliveries leave, or None for every day."""
        return list(self.digest.days) if self.digest and self.digest.days != EVERY_DAY else None


class Row(Struct, frozen=True):
    category: Category
    muted_until: datetime | None
    channels: list[Cell]


class QuietWindow(Struct, frozen=True):
    """A window of quiet hours with its time zone. `start` and `end` have the form HH:MM."""

    start: str
    end: str
    timezone: str
    days: list[int]
    allow: Priority


class Matrix(Struct, frozen=True):
    """Preferences in a form that is ready to display. Every row has the same channels.

    Rows are computed only if they are requested, because there may be hundreds for each of hundreds of users."""

    channels: list[ChannelSwitch]
    effective: EffectivePreferences
    defined: Sequence[Category]
    reachability: Reachability
    now: datetime
    timezone: str

    @property
    def quiet_schedule(self) -> list[QuietWindow]:
        """The windows of the quiet hours."""
        return [_quiet_window(window, self.timezone) for window in self.effective.quiet_schedule]

    @property
    def quiet_hours(self) -> QuietWindow | None:
        """The first window of the quiet hours."""
        return next(iter(self.quiet_schedule), None)

    @property
    def do_not_disturb_until(self) -> datetime | None:
        """The end of do-not-disturb, or None if it has ended."""
        until = self.effective.do_not_disturb_until
        return until if until and until > self.now else None

    @property
    def daily_limit(self) -> int | None:
        """The maximum number of interruptions per day."""
        return self.effective.daily_limit

    @property
    def categories(self) -> list[Row]:
        columns = [switch.channel for switch in self.channels]
        preferences = self.effective.for_categories([category.key for category in self.defined])
        return [
            _row(category, preference, columns, self.reachability, self.now)
            for category, preference in zip(self.defined, preferences, strict=True)
        ]


def apply_changes(stored: Preferences, changes: Changes) -> Preferences:
    """Return `stored` with the changes applied in order."""
    channels, preferences = stored.channels, {preference.category: preference for preference in stored.categories}
    if changes.channels is None:
        channels = {}
    elif changes.channels is not UNSET:
        channels = channels | changes.channels
    if changes.categories is None:
        preferences = {}
    elif changes.categories is not UNSET:
        for change in changes.categories:
            preference = _apply_cell_change(
                preferences.get(change.category, CategoryPreference(category=change.category)), change
            )
            if preference.channels or preference.muted_until or preference.digests:
                preferences[change.category] = preference
            else:
                preferences.pop(change.category, None)
    times = {
        name: value
        for name in ("quiet_schedule", "do_not_disturb_until", "daily_limit")
        if (value := getattr(changes, name)) is not UNSET
    }
    return replace(stored, channels=channels, categories=tuple(preferences.values()), **times)


def _apply_cell_change(preference: CategoryPreference, change: CellChange) -> CategoryPreference:
    cells, digests = dict(preference.channels), dict(preference.digests)
    for channel in Channel if change.channel is None else (change.channel,):
        digest = _apply_digest_change(digests.pop(channel, None), change)
        if digest and channel is not Channel.IN_APP:
            digests[channel] = digest
        if change.enabled is None:
            cells.pop(channel, None)
        elif change.enabled is not UNSET:
            cells[channel] = change.enabled
    until = preference.muted_until if change.muted_until is UNSET else change.muted_until
    return CategoryPreference(category=preference.category, channels=cells, muted_until=until, digests=digests)


def _apply_digest_change(stored: DigestChoice | None, change: CellChange) -> DigestChoice | None:
    """Return the choice after a change. A window replaces a local time, and the other way round."""
    if isinstance(change.digest_s, int):
        return DigestChoice(window_s=change.digest_s)
    days = change.digest_days if isinstance(change.digest_days, tuple) else EVERY_DAY
    if stored and change.digest_days is UNSET:
        days = stored.days
    if isinstance(change.digest_at, str):
        return DigestChoice(at=change.digest_at, days=days)
    if stored is None or (change.digest_s if stored.at is None else change.digest_at) is None:
        return None
    return replace(stored, days=days)


def matrix(
    own: Preferences,
    defaults: Preferences,
    categories: Sequence[Category],
    reachability: Reachability,
    now: datetime,
    timezone: str,
) -> Matrix:
    """Return the matrix of the user's `own` preferences combined with the tenant's `defaults`. `timezone` is the
    user's.

    The columns are the channels that are configured, that a category uses, or that a preference names. A mute that has
    ended is omitted."""
    effective = EffectivePreferences(own, defaults)
    columns = {*reachability.configured, *effective.channels}
    columns.update(channel for category in categories for channel in category.default_channels)
    if stored := (*own.categories, *defaults.categories):
        keys = {category.key for category in categories}
        columns.update(channel for one in stored if one.category in keys for channel in one.channels)
    switches = [ChannelSwitch(channel, effective.is_channel_on(channel)) for channel in Channel if channel in columns]
    return Matrix(switches, effective, categories, reachability, now, timezone)


def _quiet_window(window: QuietHours, timezone: str) -> QuietWindow:
    return QuietWindow(window.start, window.end, window.timezone or timezone, list(window.days), window.allow)


def _row(
    category: Category,
    preference: CategoryPreference,
    columns: Sequence[Channel],
    reachability: Reachability,
    now: datetime,
) -> Row:
    locked = category.required
    return Row(
        category=category,
        muted_until=preference.muted_until
        if preference.muted_until and preference.muted_until > now and not locked
        else None,
        channels=[
            Cell(
                channel,
                locked or preference.channels.get(channel, True),
                locked,
                reachability.of(category, channel),
                preference.digests.get(channel),
            )
            for channel in columns
        ],
    )
