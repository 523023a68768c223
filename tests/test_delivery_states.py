"""The state machine of deliveries."""

from hypothesis import given
from hypothesis import strategies as st

from hub.model import (
    DeliveryStatus,
)
from hub.outbox import states


def test_delivery_states_are_all_reachable() -> None:
    assert states.MOVES.keys() == set(DeliveryStatus)
    assert all(state not in moves for state, moves in states.MOVES.items()), "no transition leads to the same state"
    reached, fresh = set(), {DeliveryStatus.ACCEPTED}
    while fresh:
        reached |= fresh
        fresh = {new for state in fresh for new in states.MOVES[state]} - reached
    assert reached == set(DeliveryStatus), "every state can be reached"
    for end in states.ENDS - {DeliveryStatus.FAILED}:
        assert not states.MOVES[end]
    assert states.MOVES[DeliveryStatus.FAILED] == {DeliveryStatus.ACCEPTED}, "only by a replay"


@given(st.sampled_from(DeliveryStatus))
def test_every_delivery_state_can_reach_an_end_without_a_replay(state: DeliveryStatus) -> None:
    seen, fresh = set(), {state}
    while fresh:
        seen |= fresh
        fresh = {new for old in fresh - states.ENDS for new in states.MOVES[old]} - seen
    assert seen & states.ENDS
