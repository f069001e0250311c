from hypothesis import given
from hypothesis import strategies as st

from postroom.model.lifecycle import FINAL_STATES, MOVES, OPEN_STATES, RecipientState, may_move, message_state

S = RecipientState


def test_every_state_is_open_or_final_and_has_a_row_in_the_table() -> None:
    """The table of moves covers every state, and no state is both open and final."""
    assert set(S) == OPEN_STATES | FINAL_STATES
    assert frozenset() == OPEN_STATES & FINAL_STATES
    assert set(S) == set(MOVES)


def test_uncertain_never_becomes_expired_or_refused_by_itself() -> None:
    """Nothing but evidence, a person or another attempt ends an uncertain outcome."""
    assert {S.SENDING, S.QUEUED, S.ACCEPTED, S.CANCELLED} == MOVES[S.UNCERTAIN]


def test_every_cell_of_the_table_agrees_with_may_move() -> None:
    """may_move answers for every pair of states exactly as the table says."""
    for old in S:
        for new in S:
            assert may_move(old, new) == (new in MOVES[old])


def test_every_open_state_can_reach_a_final_one() -> None:
    """No message can be stuck for ever by the table itself."""
    for start in OPEN_STATES:
        reached, frontier = {start}, [start]
        while frontier:
            for state in MOVES[frontier.pop()] - reached:
                reached.add(state)
                frontier.append(state)
        assert reached & FINAL_STATES


@given(st.lists(st.sampled_from(list(S)), min_size=1))
def test_the_state_of_a_message_follows_its_most_pressing_recipient(states: list[RecipientState]) -> None:
    """Open recipients decide in their fixed order; only a common final state is shown as such."""
    order = [S.SENDING, S.QUEUED, S.DEFERRED, S.HELD, S.UNCERTAIN]
    expected = next((state.value for state in order if state in states), None)
    if expected is None:
        expected = states[0].value if len(set(states)) == 1 else "mixed"
    assert expected == message_state(states)
