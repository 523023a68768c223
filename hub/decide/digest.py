"""Digests: deliveries of several sends are gathered per recipient, channel, and device. Performs no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from hub.decide.plan import Decision, Plan
from hub.model import (
    Category,
    Channel,
    Delivery,
    DeliveryStatus,
    DigestMode,
    Priority,
    Reason,
    Record,
    WindowCount,
)


class Digest(Record, frozen=True):
    """Gather the deliveries with this key.

    - `mode`: FIXED if the window starts with the first delivery, or SLIDING if with the latest. `max_s`: the longest
      time from the first delivery to the end of a SLIDING window.
    - `lookback_s`: a delivery that no other preceded for this time leaves immediately.
    - `max_items`: the window ends with this many deliveries.
    """

    key: str
    window_s: int
    mode: DigestMode = DigestMode.FIXED
    max_s: int = 0
    lookback_s: int = 0
    max_items: int = 0


KEY_SEPARATOR = "\n"  # neither categories nor keys of digests contain it

CHOSEN = Digest(key="", window_s=0)
"""The digest of a category for which the recipient chose the end."""


def digest_key(category: str, key: str) -> str:
    """Return the key of a stored digest. A digest has one category, so it has one unsubscribe link and one mute."""
    return f"{category}{KEY_SEPARATOR}{key}"


def effective_digest(digest: Digest | None, category: Category) -> Digest | None:
    """Return the digest of a send, or else the one of its category, which has an empty key. The choice of a recipient
    takes precedence over both."""
    return digest or (Digest(key="", window_s=category.digest_s) if category.digest_s else None)


def gathered(
    digest: Digest | None, chosen: Mapping[Channel, datetime | None], plan: Plan, mark: WindowCount, now: datetime
) -> tuple[Plan, WindowCount]:
    """Return the plan with the deliveries that wait in a digest, and the new mark.

    - `digest`: the digest of the send. `due_at` is the end of a window that starts now.
    - `chosen`: the ends that the recipient chose by channel. On a channel with None, nothing is gathered.
    - `mark`: shows whether a delivery preceded, and is empty if none did.

    The inbox, later steps, and CRITICAL sends are not gathered."""
    if plan.priority is Priority.CRITICAL:
        return plan, mark
    end = None
    if digest and any(_is_gathered(decision) and decision.channel not in chosen for decision in plan.external):
        end, mark = _window_end(digest, mark, now)
    if not (end or chosen):
        return plan, mark

    def hold(decision: Decision) -> Decision:
        due_at, by_choice = chosen.get(decision.channel, end), decision.channel in chosen
        if due_at is None or not _is_gathered(decision):
            return decision
        return replace(decision, outcome=DeliveryStatus.HELD, reason=Reason.DIGEST, due_at=due_at, chosen=by_choice)

    decisions, external = (tuple(hold(decision) for decision in group) for group in (plan.decisions, plan.external))
    return replace(plan, decisions=decisions, external=external), mark


def end_after_join(digest: Digest, end: datetime, opened_at: datetime, joined: int, now: datetime) -> datetime:
    """Return the end of a window that ended at `end` before a delivery joined. `joined` includes that delivery."""
    if digest.max_items and joined >= digest.max_items:
        return min(end, now)
    if digest.mode is DigestMode.FIXED:
        return end
    latest = opened_at + timedelta(seconds=digest.max_s)
    return max(end, min(now + timedelta(seconds=digest.window_s), latest))


def end_with_item(
    digest: Delivery, rules: Digest, due_at: datetime, joined: int, now: datetime, *, chosen: bool
) -> datetime:
    """Return the end of an open digest after a delivery joined that would leave at `due_at` with a digest of its own.
    `joined` includes that delivery. `chosen`: its user chose `due_at`.

    A digest whose end the user chose does not delay a delivery that the choice does not concern, or no longer. If quiet
    hours hold the digest, they also hold what the user chose to gather."""
    end = end_after_join(rules, digest.due_at or due_at, digest.created_at, joined, now)
    is_earlier = digest.chosen and (not chosen or digest.reason == Reason.DIGEST)
    return min(end, due_at) if is_earlier else end


def _window_end(digest: Digest, mark: WindowCount, now: datetime) -> tuple[datetime | None, WindowCount]:
    """Return the end of a window that starts now, or None if no delivery preceded within `lookback`. Return the new
    mark."""
    if digest.lookback_s:
        first = not mark.count or mark.expires_at <= now
        mark = replace(mark, count=mark.count + 1, expires_at=now + timedelta(seconds=digest.lookback_s))
        if first:
            return None, mark
    return now + timedelta(seconds=digest.window_s), mark


def _is_gathered(decision: Decision) -> bool:
    return decision.outcome is DeliveryStatus.ACCEPTED and decision.channel is not Channel.IN_APP
