"""The states of a delivery and the transitions between them. Every transition is checked with `may_move`, except the
claim, which takes any WAITING state, and the replay of FAILED."""

from hub.model import DeliveryStatus as S

MOVES: dict[S, frozenset[S]] = {
    S.ACCEPTED: frozenset({S.HELD, S.PROCESSING, S.SKIPPED, S.CANCELLED, S.EXPIRED, S.DELIVERED}),
    S.HELD: frozenset({S.PROCESSING, S.SKIPPED, S.CANCELLED, S.EXPIRED}),
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
"""Notes on the moves:

- READ requires a proof by the channel itself: the inbox, or a click in an email or push. A read in the inbox does not
  change other channels.
- An IN_APP delivery stays DELIVERED or READ. Marked as unread it is DELIVERED again, recalled it is CANCELLED.
- A replay moves FAILED to ACCEPTED.
- PROCESSING becomes ACCEPTED when a worker has died.
- SENT and DELIVERED may become FAILED, because an accepted email may still bounce."""

WAITING = [S.ACCEPTED, S.HELD, S.RETRYING]
"""States in which a delivery can be claimed."""

ENDS = frozenset(state for state, moves in MOVES.items() if not moves) | {S.FAILED}


def may_move(old: S, new: S) -> bool:
    """Return True if `old` may become `new`. The same state is not a transition."""
    return new in MOVES[old]
