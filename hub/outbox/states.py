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
"""READ: the channel itself proved it, by the inbox or by a click in an email or push. Reading in the inbox changes no
other channel. An IN_APP delivery stays DELIVERED or READ: marked unread it is DELIVERED again, recalled it is
CANCELLED. A replay moves FAILED to ACCEPTED. The PROCESSING of a dead worker becomes ACCEPTED. An accepted email may
still bounce."""

WAITING = [S.ACCEPTED, S.HELD, S.RETRYING]
"""States in which a delivery can be claimed."""

ENDS = frozenset(state for state, moves in MOVES.items() if not moves) | {S.FAILED}


def may_move(old: S, new: S) -> bool:
    """Return True if `old` may become `new`. The same state is not a transition."""
    return new in MOVES[old]
