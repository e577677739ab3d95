"""The counts of a call's turns: a function of the turns as they are, whatever came before."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.phases import Span
from pipeline.dialogue.tally import Cues, Tally
from schemas.turn import ReceivedTurn, Role
from tests.records import T0, received_turn

Put = tuple[ReceivedTurn, bool, Cues]

ROLES: list[Role] = ["user", "agent", "human_agent"]
PUTS = st.lists(
    st.builds(
        lambda number, start, length, who, role, late, speaks, cues: (
            received_turn(start, start + length, f"t{number}", who, role=role, received=start + length + late),
            speaks,
            Cues(*cues) if speaks else Cues(),
        ),
        st.integers(0, 6),
        st.integers(0, 50),
        st.integers(0, 9),
        st.sampled_from(["ann", "bot"]),
        st.sampled_from(ROLES),
        st.integers(-5, 5),
        st.booleans(),
        st.tuples(st.booleans(), st.booleans()),
    ),
    max_size=30,
)


@given(PUTS)
def test_counts_are_those_of_the_newest_revisions(puts: list[Put]) -> None:
    tally = Tally()
    for turn, speaks, cues in puts:
        tally.put(turn, speaks=speaks, cues=cues)
    now = {put[0].turn_id: put for put in puts}.values()
    turns = [turn for turn, *_ in now]
    human = [turn for turn, speaks, _ in now if speaks and turn.role == "human_agent"]
    assert tally.turns == span(turns)
    assert tally.human == span(human)
    assert tally.misunderstandings == sorted(place(turn) for turn, _, cues in now if cues.not_understood)
    assert tally.transfers == sorted(place(turn) for turn, _, cues in now if cues.transfer)
    assert tally.talkers.keys() == {turn.participant for turn in turns}
    for participant, talker in tally.talkers.items():
        own = [turn for turn in turns if turn.participant == participant]
        assert talker.turns == len(own)
        assert talker.role == max(own, key=place).role
        assert talker.delays_ms == sorted(turn.received_at // 1000 - turn.ended_at for turn in own)


def span(turns: list[Any]) -> Span | None:
    return Span(min(one.started_at for one in turns), max(one.ended_at for one in turns)) if turns else None


def place(turn: ReceivedTurn) -> tuple[int, str]:
    assert turn.started_at >= T0
    return turn.started_at, turn.turn_id
