"""Preferences of users, and the defaults of tenants."""

from datetime import datetime

from hub.model.channels import Channel
from hub.model.record import Record


class CategoryPreference(Record, frozen=True):
    """A preference for one category. For a channel that is not in `channels`, the default applies."""

    category: str
    channels: dict[Channel, bool] = {}
    muted_until: datetime | None = None

    def with_defaults(self, defaults: "CategoryPreference") -> "CategoryPreference":
        """Return this preference with unset values taken from `defaults`."""
        return CategoryPreference(
            category=self.category,
            channels=defaults.channels | self.channels,
            muted_until=defaults.muted_until if self.muted_until is None else self.muted_until,
        )


class Preferences(Record, frozen=True):
    """The preferences that differ from the default. By default, everything is enabled."""

    channels: dict[Channel, bool] = {}
    categories: tuple[CategoryPreference, ...] = ()

    def for_category(self, category: str) -> CategoryPreference:
        """Return the preference for a category, or an empty preference if there is none."""
        stored = (preference for preference in self.categories if preference.category == category)
        return next(stored, CategoryPreference(category=category))


NO_PREFERENCES = Preferences()
