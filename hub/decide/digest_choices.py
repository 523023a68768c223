"""The digests that users choose. Performs no I/O.

A choice applies to one category and channel. It takes precedence over the digest of a send, and over that of a
category. CRITICAL sends pass it, and so do sends of a required category, except LOW.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from hub.decide.effective_preferences import EffectivePreferences
from hub.decide.quiet_windows import MINUTE, instant_of, minutes_of, zone_of
from hub.decide.timing import Question, spread_of
from hub.model import Category, Channel, Delivery, DigestChoice, Priority, Tenant, User

DAYS_SEARCHED = range(9)  # a weekday occurs within 8 days, also if its time has passed today


def choices_of(user: User, tenant: Tenant, category: Category, priority: Priority) -> Mapping[Channel, DigestChoice]:
    """Return the choices of a user for sends of a category and priority."""
    if not (user.preferences.categories or tenant.preferences.categories):
        return {}
    if Question(user.id, priority, category.required).is_important:
        return {}
    return EffectivePreferences(user.preferences, tenant.preferences).for_category(category.key).digests


def chosen_ends(
    user: User, tenant: Tenant, category: Category, priority: Priority, now: datetime
) -> dict[Channel, datetime | None]:
    """Return the end of a digest that opens now for each channel that has a choice, or None if deliveries on this
    channel are not gathered."""
    choices = choices_of(user, tenant, category, priority)
    if not choices:
        return {}
    timezone = user.effective_timezone(tenant)
    return {channel: _end(choice, timezone, user.id, now) for channel, choice in choices.items()}


def changed_end(digest: Delivery, user: User, tenant: Tenant, category: Category) -> tuple[datetime, bool] | None:
    """Return the end of an open digest with the current choice of its user, and whether the user chose it. The end may
    be in the past. Return None if the digest does not depend on a choice.

    Without the choice that it depended on, a digest has the window of its category, or leaves."""
    if choice := choices_of(user, tenant, category, digest.priority).get(digest.channel):
        end = _end(choice, user.effective_timezone(tenant), user.id, digest.created_at)
        return end or digest.created_at, True
    return (digest.created_at + timedelta(seconds=category.digest_s or 0), False) if digest.chosen else None


def next_time(at: str, days: tuple[int, ...], timezone: str, after: datetime) -> datetime:
    """Return the next instant after `after` with the local time `at` (HH:MM) on one of the ISO weekdays `days`.

    A local time that does not exist, in spring, moves forward to the next one that does. Of a local time that occurs
    twice, in autumn, the first counts."""
    zone, today = zone_of(timezone), after.astimezone(zone_of(timezone)).date()
    searched = (today + timedelta(days=number) for number in DAYS_SEARCHED)
    instants = (
        instant_of(datetime.combine(day, datetime.min.time()) + minutes_of(at) * MINUTE, zone, 0)
        for day in searched
        if day.isoweekday() in days
    )
    return next(instant for instant in instants if instant > after)


def _end(choice: DigestChoice, timezone: str, mailbox: str, opened_at: datetime) -> datetime | None:
    """Return the end of a digest, or None if nothing is gathered. Daily digests are spread over two minutes."""
    if choice.at is None:
        return opened_at + timedelta(seconds=choice.window_s) if choice.window_s else None
    spread = spread_of(mailbox)
    return next_time(choice.at, choice.days, timezone, opened_at - spread) + spread
