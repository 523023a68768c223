"""The preferences that apply to a user, with the defaults of the tenant."""

from hypothesis import given
from hypothesis import strategies as st

from hub.decide.effective_preferences import EffectivePreferences
from hub.model import CategoryPreference, Channel, Preferences

CATEGORIES = ("news", "builds", "security")
switches = st.dictionaries(st.sampled_from(Channel), st.booleans())
preferences = st.builds(
    lambda channels, rows: Preferences(
        channels=channels,
        categories=tuple(CategoryPreference(category=name, channels=row) for name, row in rows.items()),
    ),
    switches,
    st.dictionaries(st.sampled_from(CATEGORIES), switches),
)


@given(preferences, preferences, st.sampled_from(Channel))
def test_own_preference_wins_over_the_default_and_the_default_is_on(
    own: Preferences, defaults: Preferences, channel: Channel
) -> None:
    effective = EffectivePreferences(own, defaults)
    expected = own.channels.get(channel, defaults.channels.get(channel, True))
    assert effective.is_channel_on(channel) is effective.channels.get(channel, True) is expected


@given(preferences, preferences)
def test_many_categories_have_the_same_preferences_as_each_alone(own: Preferences, defaults: Preferences) -> None:
    effective = EffectivePreferences(own, defaults)
    assert effective.for_categories(CATEGORIES) == [effective.for_category(name) for name in CATEGORIES]
