"""The states of a delivery and the transitions between them. `may_move` checks every transition except a
claim, which is possible in any WAITING state, and a replay of a FAILED delivery."""

from hub.model import DeliveryStatus as S
from hub.model import Reason

MOVES: dict[S, frozenset[S]] = {
    S.ACCEPTED: frozenset({S.HELD, S.PROCESSING, S.SKIPPED, S.CANCELLED, S.EXPIRED, S.DELIVERED}),
    S.HELD: frozenset({S.ACCEPTED, S.PROCESSING, S.SENT, S.DELIVERED, S.FAILED, S.SKIPPED, S.CANCELLED, S.EXPIRED}),
    S.PROCESSING: frozenset(
        {S.ACCEPTED, S.HELD, S.SENT, S.DELIVERED, S.RETRYING, S.FAILED, S.SKIPPED, S.CANCELLED, S.EXPIRED}
    ),
    S.RETRYING: frozenset({S.PROCESSING, S.SKIPPED, S.CANCELLED, S.EXPIRED, S.FAILED}),
    S.SENT: frozenset({S.DELIVERED, S.READ, S.FAILED}),
    S.DELIVERED: frozenset({S.READ, S.FAILED, S.CANCELLED, S.EXPIRED}),
    S.READ: frozenset({S.DELIVERED, S.CANCELLED, S.EXPIRED}),
    S.SKIPPED: frozenset(),
    S.FAILED: frozenset({S.ACCEPTED}),
    S.CANCELLED: frozenset(),
    S.EXPIRED: frozenset(),
}
"""Notes on the transitions:

- READ requires confirmation on the channel itself: the inbox, or a click in an email or push message. Reading in the
  inbox does not change deliveries on other channels.
- An IN_APP delivery stays DELIVERED or READ. If it is marked as unread, it becomes DELIVERED again. If it is recalled,
  it becomes CANCELLED.
- A replay changes FAILED to ACCEPTED.
- HELD becomes ACCEPTED when the scheduler releases the delivery.
- HELD becomes SENT, DELIVERED, or FAILED if the delivery is an item of a digest that ended.
- PROCESSING becomes ACCEPTED if the worker died.
- SENT and DELIVERED may become FAILED, because an accepted email may still bounce."""

WAITING = [S.ACCEPTED, S.HELD, S.RETRYING]
"""States in which a delivery can be claimed."""

FINAL = [S.SENT, S.DELIVERED, S.READ, S.FAILED, S.SKIPPED, S.CANCELLED, S.EXPIRED]
"""States after the last call."""

REPLAYABLE = [S.FAILED, S.RETRYING]
"""The states that a replay includes. HELD is excluded: a replay overrides no limit, circuit breaker, or user."""

WITHOUT_ADDRESS = (Reason.ADDRESS_GONE, Reason.SUPPRESSED)
"""The reasons that a replay excludes unless the filter names them, because the delivery would fail again."""

ENDS = frozenset(state for state, moves in MOVES.items() if not moves) | {S.FAILED}


def may_move(old: S, new: S) -> bool:
    """Return True if `old` may become `new`. A state cannot become itself."""
    return new in MOVES[old]
