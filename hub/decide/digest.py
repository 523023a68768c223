"""Digests: deliveries of several sends are gathered per recipient, channel, and device. Performs no I/O."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from hub.decide.plan import Decision, Plan
from hub.model import Category, Channel, DeliveryStatus, DigestMode, Priority, Reason, Record, WindowCount


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


def digest_key(category: str, key: str) -> str:
    """Return the key of a stored digest. A digest has one category, so it has one unsubscribe link and one mute."""
    return f"{category}/{key}"


def effective_digest(digest: Digest | None, category: Category) -> Digest | None:
    """Return the digest of a send, or else the one of its category, which has an empty key."""
    return digest or (Digest(key="", window_s=category.digest_s) if category.digest_s else None)


def gathered(digest: Digest, plan: Plan, mark: WindowCount, now: datetime) -> tuple[Plan, WindowCount]:
    """Return the plan with the deliveries that wait in a digest, and the new mark. `due_at` is the end of a window that
    starts now. `mark` shows whether a delivery preceded, and is empty if none did.

    The inbox, later steps, and CRITICAL sends are not gathered."""
    if plan.priority is Priority.CRITICAL or not any(_is_gathered(decision) for decision in plan.external):
        return plan, mark
    if digest.lookback_s:
        first = not mark.count or mark.expires_at <= now
        mark = replace(mark, count=mark.count + 1, expires_at=now + timedelta(seconds=digest.lookback_s))
        if first:
            return plan, mark
    due_at = now + timedelta(seconds=digest.window_s)

    def hold(decision: Decision) -> Decision:
        if not _is_gathered(decision):
            return decision
        return replace(decision, outcome=DeliveryStatus.HELD, reason=Reason.DIGEST, due_at=due_at)

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


def _is_gathered(decision: Decision) -> bool:
    return decision.outcome is DeliveryStatus.ACCEPTED and decision.channel is not Channel.IN_APP
