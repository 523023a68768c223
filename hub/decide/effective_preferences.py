"""The preferences that apply to a user: the user's own preferences, with the tenant's defaults for unset values.

Plans, the preferences query, and the unsubscribe page all use these rules.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from hub.model import Category, CategoryPreference, Channel, Preferences, QuietHours, Tenant, User


class EffectivePreferences(Struct, frozen=True):
    """Effective preferences. `own` are the user's preferences, and `defaults` are the tenant's."""

    own: Preferences
    defaults: Preferences

    @property
    def channels(self) -> dict[Channel, bool]:
        """The channels that are switched on or off for all categories. All other channels are on."""
        return self.defaults.channels | self.own.channels

    @property
    def quiet_schedule(self) -> tuple[QuietHours, ...]:
        """The windows of the quiet hours."""
        own = self.own.quiet_schedule
        return (self.defaults.quiet_schedule or ()) if own is None else own

    @property
    def do_not_disturb_until(self) -> datetime | None:
        """The end of do-not-disturb, which may be in the past."""
        return self.own.do_not_disturb_until or self.defaults.do_not_disturb_until

    @property
    def daily_limit(self) -> int | None:
        """The maximum number of interruptions per day, or None for no limit."""
        return self.defaults.daily_limit if self.own.daily_limit is None else self.own.daily_limit

    def is_channel_on(self, channel: Channel) -> bool:
        """Return True unless the channel is switched off for all categories."""
        return self.own.channels.get(channel, self.defaults.channels.get(channel, True))

    def for_category(self, category: str) -> CategoryPreference:
        """Return the preference for one category, without considering `channels`."""
        if not self.defaults.categories:
            return self.own.for_category(category)
        return self.own.for_category(category).with_defaults(self.defaults.for_category(category))

    def for_categories(self, categories: Sequence[str]) -> list[CategoryPreference]:
        """Return the preferences for many categories, in order and in linear time."""
        own, defaults = (
            {preference.category: preference for preference in preferences.categories}
            for preferences in (self.own, self.defaults)
        )
        empty = {category: CategoryPreference(category=category) for category in categories}
        return [
            own.get(category, empty[category]).with_defaults(defaults.get(category, empty[category]))
            for category in categories
        ]


def may_show(category: Category, user: User, tenant: Tenant) -> bool:
    """Return True if the user did not switch off the inbox for a category."""
    preferences = EffectivePreferences(user.preferences, tenant.preferences)
    in_category = preferences.for_category(category.key).channels.get(Channel.IN_APP, True)
    return category.required or (preferences.is_channel_on(Channel.IN_APP) and in_category)
