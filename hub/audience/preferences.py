"""Preferences without I/O: changes of them, and the matrix of all preferences with the defaults of the tenant."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from hub.model import Category, CategoryPreference, Channel, Preferences


class CellChange(Struct, frozen=True, kw_only=True):
    """A change of one cell, or of the whole row if `channel` is None. UNSET keeps the value, None clears it."""

    category: str
    channel: Channel | None = None
    enabled: bool | UnsetType | None = UNSET
    muted_until: datetime | UnsetType | None = UNSET


class Changes(Struct, frozen=True, kw_only=True):
    """A change of preferences. UNSET keeps the value, None clears all of it."""

    channels: dict[Channel, bool] | UnsetType | None = UNSET
    categories: tuple[CellChange, ...] | UnsetType | None = UNSET


class ChannelSwitch(Struct, frozen=True):
    channel: Channel
    enabled: bool


class Cell(Struct, frozen=True):
    """`locked`: the category is required, so it is always on."""

    channel: Channel
    enabled: bool
    locked: bool


class Row(Struct, frozen=True):
    category: Category
    muted_until: datetime | None
    channels: list[Cell]


class Matrix(Struct, frozen=True):
    """Preferences in a form that is ready to display: every row has the same channels.

    Rows are computed only if they are requested: there may be hundreds for each of hundreds of users."""

    channels: list[ChannelSwitch]
    mine: Preferences
    base: Preferences
    defined: Sequence[Category]
    now: datetime

    @property
    def categories(self) -> list[Row]:
        columns = [switch.channel for switch in self.channels]
        mine, base = (
            {preference.category: preference for preference in preferences.categories}
            for preferences in (self.mine, self.base)
        )
        rows = []
        for category in self.defined:
            nothing = CategoryPreference(category=category.key)
            preference = mine.get(category.key, nothing).with_defaults(base.get(category.key, nothing))
            rows.append(_row(category, preference, columns, self.now))
        return rows


def apply_changes(mine: Preferences, changes: Changes) -> Preferences:
    """Return `mine` with the changes applied in order."""
    channels, preferences = mine.channels, {preference.category: preference for preference in mine.categories}
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
            if preference.channels or preference.muted_until:
                preferences[change.category] = preference
            else:
                preferences.pop(change.category, None)
    return Preferences(channels=channels, categories=tuple(preferences.values()))


def _apply_cell_change(preference: CategoryPreference, change: CellChange) -> CategoryPreference:
    cells = dict(preference.channels)
    for channel in Channel if change.channel is None else (change.channel,):
        if change.enabled is None:
            cells.pop(channel, None)
        elif change.enabled is not UNSET:
            cells[channel] = change.enabled
    until = preference.muted_until if change.muted_until is UNSET else change.muted_until
    return CategoryPreference(category=preference.category, channels=cells, muted_until=until)


def matrix(
    mine: Preferences,
    base: Preferences,
    categories: Sequence[Category],
    configured: Collection[Channel],
    now: datetime,
) -> Matrix:
    """Return the matrix of `mine` with the defaults `base`.

    The columns are the channels that are configured, that a category uses, or that a preference names. A mute that has
    ended is left out."""
    switches = base.channels | mine.channels
    used = {channel for category in categories for channel in category.default_channels}
    keys = {category.key for category in categories} if mine.categories or base.categories else set()
    preferences = [preference for preference in (*mine.categories, *base.categories) if preference.category in keys]
    named = {channel for preference in preferences for channel in preference.channels}
    columns = [channel for channel in Channel if channel in {*configured, *used, *named, *switches}]
    return Matrix(
        [ChannelSwitch(channel, switches.get(channel, True)) for channel in columns], mine, base, categories, now
    )


def _row(category: Category, preference: CategoryPreference, columns: Sequence[Channel], now: datetime) -> Row:
    locked = category.required
    return Row(
        category=category,
        muted_until=preference.muted_until
        if preference.muted_until and preference.muted_until > now and not locked
        else None,
        channels=[Cell(channel, locked or preference.channels.get(channel, True), locked) for channel in columns],
    )
