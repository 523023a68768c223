"""The states of a delivery and the moves between them, in one table. Whoever moves one asks it (`may_move`), but for
the claim, which takes whatever is WAITING, and the replay of what FAILED."""

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
"""READ: this channel proved it, the inbox itself or a click in a mail or push; reading in the inbox changes no other
channel's. DELIVERED and READ are where the inbox rests: marked unread it is DELIVERED again, recalled CANCELLED. FAILED
comes back to ACCEPTED by a replay, PROCESSING when its worker died. A mail that a server took may bounce after all."""

WAITING = [S.ACCEPTED, S.HELD, S.RETRYING]
"""In which a delivery can be claimed."""

ENDS = frozenset(state for state, moves in MOVES.items() if not moves) | {S.FAILED}


def may_move(old: S, new: S) -> bool:
    """Whether a delivery in `old` may become `new`. Staying is no move."""
    return new in MOVES[old]
