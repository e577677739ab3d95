"""What a participant says, as turns."""

from __future__ import annotations

import pytest

from mise_observer_livekit.speeches import BEFORE, WORD_S, Agent, Committed, RoughTurn, Speeches


def speech(speeches: Speeches, start: float, end: float, *finals: str) -> list[RoughTurn]:
    closed = speeches.started(start)
    speeches.stopped(end)
    for final in finals:
        speeches.final(final, end + 0.3, "en")
    return closed


def told(turns: list[RoughTurn]) -> list[tuple[str, float, float, bool]]:
    return [(said.text, said.started_at, said.ended_at, said.committed) for said in turns]


def test_a_turn_is_from_its_first_word_to_its_last() -> None:
    # s      10    11   12    13
    # user   |-----|    |-----|      one turn: he paused
    speeches = Speeches(Agent())
    speech(speeches, 10, 11, "I would like")
    assert speech(speeches, 12, 13, "a table") == []
    (turn,) = speeches.committed(Committed("I would like a table", 10.1, 13.1), 13.6)
    assert told([turn]) == [("I would like a table", 10, 13, True)]
    assert turn.language == "en"


def test_a_backchannel_is_a_turn_of_its_own_and_its_words_are_not_in_the_next() -> None:
    # s      5         9  9.5          14   16
    # agent  |----------------------|
    # user             |--|            |----|
    agent = Agent()
    speeches = Speeches(agent)
    agent.started(5)
    speech(speeches, 9, 9.5, "Mhm.")
    agent.stopped(13)
    backchannel = speech(speeches, 14, 16, "There are no more.")
    turn = speeches.committed(Committed("Mhm. There are no more.", 9.0, 16.1), 16.6)
    assert told(backchannel) == [("Mhm.", 9, 9.5, False)]
    assert told(turn) == [("There are no more.", 14, 16, True)]


def test_a_backchannel_and_a_barge_in_into_the_same_speech_are_two_turns() -> None:
    agent = Agent()
    speeches = Speeches(agent)
    agent.started(5)
    speech(speeches, 7, 7.4, "Yes.")
    assert told(speech(speeches, 10, 12, "Stop, please.")) == [("Yes.", 7, 7.4, False)]
    assert told(speeches.committed(Committed("Yes. Stop, please.", 7.0, 12.1), 12.5)) == [
        ("Stop, please.", 10, 12, True)
    ]


def test_words_of_two_breaths_over_the_agent_are_one_turn() -> None:
    agent = Agent()
    speeches = Speeches(agent)
    agent.started(5)
    speech(speeches, 7, 7.4, "Wait.")
    assert speech(speeches, 8, 9, "Stop, please.") == []
    assert told(speeches.committed(Committed("Wait. Stop, please.", 7, 9), 9.5)) == [
        ("Wait. Stop, please.", 7, 9, True)
    ]


def test_a_final_that_comes_when_the_next_speech_has_just_begun_is_of_the_one_before() -> None:
    agent = Agent()
    speeches = Speeches(agent)
    agent.started(5)
    speech(speeches, 9, 9.5)
    agent.stopped(10.8)
    speeches.started(10.4)
    speeches.final("Mhm.", 10.6)
    speeches.stopped(12)
    speeches.final("No.", 12.2)
    (turn,) = speeches.committed(Committed("Mhm. No.", 9, 12), 12.5)
    assert (turn.text, turn.started_at) == ("Mhm. No.", 9)


def test_a_final_of_a_short_word_is_not_of_the_speech_before_that_has_its_own() -> None:
    # s      9     10    10.4  10.7
    # user   |-----|     |-----          the first is committed when the second's final is there already
    speeches = Speeches(Agent())
    speech(speeches, 9, 10, "Where is it?")
    speeches.started(10.4)
    speeches.final("No.", 10.7)
    (first,) = speeches.committed(Committed("Where is it?", 9, 10), 10.75)
    speeches.stopped(10.8)
    (second,) = speeches.committed(Committed("No.", 10.4, 10.8), 11.3)
    assert told([first, second]) == [("Where is it?", 9, 10, True), ("No.", 10.4, 10.8, True)]


def test_an_interim_that_is_committed_at_the_end_of_the_call_counts() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "My number")
    (turn,) = speeches.committed(Committed("My number is four", 1, 3), 3.0)
    assert turn.text == "My number is four"


def test_what_the_agent_makes_of_a_message_is_not_what_was_said() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Where is it?")
    (turn,) = speeches.committed(Committed("Context: order 5. Where is it?", 1, 2), 2.5)
    assert turn.text == "Where is it?"


def test_without_transcripts_the_message_has_the_words() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2)
    assert told(speeches.committed(Committed("Where is it?", 1, 2), 2.5)) == [("Where is it?", 1, 2, True)]


def test_what_he_says_while_a_turn_is_committed_is_the_next() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Where is it?")
    speeches.started(3)
    (first,) = speeches.committed(Committed("Where is it?", 1, 2), 3.2)
    speeches.stopped(4)
    speeches.final("Hello?", 4.2)
    (second,) = speeches.committed(Committed("Hello?", 3, 4), 4.5)
    assert told([first, second]) == [("Where is it?", 1, 2, True), ("Hello?", 3, 4, True)]
    assert first.turn_id != second.turn_id


def test_a_turn_that_is_committed_while_he_speaks_ends_there() -> None:
    speeches = Speeches(Agent())
    speeches.started(1)
    speeches.final("Where is it?", 1.8)
    assert told(speeches.committed(Committed("Where is it?"), 2)) == [("Where is it?", 1, 2, True)]


def test_what_nobody_commits_is_sent_when_it_is_settled_and_again_when_somebody_does() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Where is it?")
    assert speeches.settle(5) == []
    (uncommitted,) = speeches.settle(12.5)
    (committed,) = speeches.committed(Committed("Where is it?", 1, 2.1), 14)
    assert told([uncommitted, committed]) == [("Where is it?", 1, 2, False), ("Where is it?", 1, 2, True)]
    assert uncommitted.turn_id == committed.turn_id


def test_a_final_that_comes_when_its_turn_was_sent_is_of_that_turn() -> None:
    # s      1   2              12    13      sent without a word; its words come at 12.3, the next one's at 13.2
    # user   |---|              |-----|
    speeches = Speeches(Agent())
    speech(speeches, 1, 2)
    (wordless,) = speeches.started(12)
    (turn,) = speeches.final("Where is it?", 12.3, "en")
    speeches.stopped(13)
    assert speeches.final("Hello?", 13.2) == []
    (second,) = speeches.committed(Committed("Where is it? Hello?", 1, 13), 13.5)
    assert told([wordless, turn, second]) == [
        ("", 1, 2, False),
        ("Where is it?", 1, 2, False),
        ("Hello?", 12, 13, True),
    ]
    assert (turn.turn_id, turn.language) == (wordless.turn_id, "en")
    assert second.turn_id != turn.turn_id


def test_a_final_that_comes_when_nobody_speaks_is_of_the_turn_that_was_sent_last_for_a_while() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Where is it?")
    (sent,) = speeches.settle(12.5)
    assert told(speeches.final("The parcel.", 13)) == [("Where is it? The parcel.", 1, 2, False)]
    assert speeches.final("Much later.", 60) == []
    (again,) = speeches.committed(Committed("Where is it? The parcel.", 1, 2), 61)
    assert told([again]) == [("Where is it? The parcel.", 1, 2, True)]
    assert again.turn_id == sent.turn_id


def test_words_that_nobody_was_heard_to_say_are_a_turn_of_their_own_before_the_next() -> None:
    # s      0          5           10   12   14
    # agent  |----------------------|
    # user              mhm              |----|     the detector missed the first
    agent = Agent()
    speeches = Speeches(agent)
    agent.started(0)
    assert speeches.final("Yes.", 5, "en") == []
    agent.stopped(10)
    assert speech(speeches, 12, 14, "Yes. There are no more.") == []
    loose, turn = speeches.committed(Committed("Yes. Yes. There are no more.", 5, 14), 14.5)
    assert told([loose, turn]) == [("Yes.", 4.6, 5, False), ("Yes. There are no more.", 12, 14, True)]
    assert (loose.exact, loose.language, turn.exact) == (False, "en", True)
    assert speeches.settle(30) == speeches.close(31) == []


@pytest.mark.parametrize("ends", ["settles", "closes", "is followed"])
def test_words_that_nobody_was_heard_to_say_and_nobody_commits_are_sent(ends: str) -> None:
    agent = Agent()
    speeches = Speeches(agent)
    speeches.final("Goodbye", 5)
    assert speeches.settle(14) == []
    if ends == "settles":
        (turn,) = speeches.settle(15)
    elif ends == "closes":
        (turn,) = speeches.close(14)
    else:
        speech(speeches, 7, 8)
        (turn, _) = speeches.started(14)
    assert (told([turn]), turn.exact) == ([("Goodbye", 4.6, 5, False)], False)


def test_words_that_were_sent_before_somebody_committed_them_are_sent_again_as_committed() -> None:
    speeches = Speeches(Agent())
    speeches.final("Where is it?", 5)
    (sent,) = speeches.settle(15)
    (again,) = speeches.committed(Committed("Where is it?"), 16)
    assert (again.turn_id, again.text, again.committed) == (sent.turn_id, "Where is it?", True)


def test_words_that_were_sent_are_not_in_the_next_turn() -> None:
    speeches = Speeches(Agent())
    speeches.final("Mhm.", 5)
    (sent,) = speeches.settle(15)
    speech(speeches, 40, 41)
    (turn,) = speeches.committed(Committed("Mhm. Where is it?", 40, 41), 41.5)
    assert told([sent, turn]) == [("Mhm.", 4.6, 5, False), ("Where is it?", 40, 41, True)]


def test_words_that_a_message_does_not_contain_are_not_taken_for_it() -> None:
    speeches = Speeches(Agent())
    speeches.final("Where is it?", 5)
    speeches.final("Hello?", 6)
    (turn,) = speeches.committed(Committed("Where is it?"), 6.1)
    (rest,) = speeches.settle(16)
    assert [(one.text, one.ended_at, one.committed) for one in (turn, rest)] == [
        ("Where is it?", 5, True),
        ("Hello?", 6, False),
    ]


def test_a_message_that_the_agent_has_written_anew_is_of_the_words_that_nobody_was_heard_to_say() -> None:
    speeches = Speeches(Agent())
    speeches.final("Four seven one one", 5)
    (turn,) = speeches.committed(Committed("4711"), 5.5)
    assert (turn.text, turn.ended_at) == ("4711", 5)
    assert speeches.close(6) == []


def test_words_that_nobody_was_heard_to_say_do_not_pile_up() -> None:
    speeches = Speeches(Agent())
    turns = [turn for n in range(BEFORE) for turn in speeches.final("mhm", n)]
    assert [(turn.text.count("mhm"), turn.started_at) for turn in turns] == [(BEFORE, -0.4)]


def test_what_is_not_sent_yet_is_known_by_its_beginning() -> None:
    speeches = Speeches(Agent())
    begun = [speeches.since]
    speech(speeches, 1, 2)
    speech(speeches, 3, 4)
    begun.append(speeches.since)
    speeches.settle(20)
    begun.append(speeches.since)
    speeches.final("Much later.", 60)
    begun.append(speeches.since)
    assert begun == [None, 1, None, 60 - 2 * WORD_S]


def test_after_a_long_pause_it_is_another_turn() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Hello?")
    assert told(speech(speeches, 8, 9, "Anybody?")) == [("Hello?", 1, 2, False)]


@pytest.mark.parametrize("speaks_on", [True, False])
def test_a_turn_that_is_committed_only_when_he_asks_again_takes_nothing_of_the_next(speaks_on: bool) -> None:
    # s      1  2          8    9
    # user   |--|          |----|      the first is committed at 8.5 or 9.2: something took its time
    speeches = Speeches(Agent())
    speech(speeches, 1, 2, "Where is it?")
    (uncommitted,) = speeches.started(8)
    if not speaks_on:
        speeches.stopped(9)
    (first,) = speeches.committed(Committed("Where is it?", 1.1, 2.1), 8.5 if speaks_on else 9.2)
    speeches.stopped(9)
    speeches.final("Hello?", 9.3)
    (second,) = speeches.committed(Committed("Hello?", 8.1, 9.1), 9.6)
    assert told([first, second]) == [("Where is it?", 1, 2, True), ("Hello?", 8, 9, True)]
    assert first.turn_id == uncommitted.turn_id != second.turn_id


def test_nothing_is_settled_while_he_speaks() -> None:
    speeches = Speeches(Agent())
    speeches.started(1)
    assert speeches.settle(100) == []


def test_the_end_of_the_call_ends_a_turn() -> None:
    speeches = Speeches(Agent())
    speeches.started(1)
    speeches.final("Wait", 1.5)
    assert told(speeches.close(2)) == [("Wait", 1, 2, False)]
    assert speeches.close(3) == []


def test_a_model_that_says_nothing_of_when_somebody_spoke_gives_estimates() -> None:
    speeches = Speeches(Agent())
    speeches.final("Where is it?", 9.9)
    (turn,) = speeches.committed(Committed("Where is it?"), 10)
    assert (turn.text, turn.exact) == ("Where is it?", False)
    assert turn.started_at == pytest.approx(9.9 - 3 * 0.4)
    assert turn.ended_at == 9.9
    (typed,) = speeches.committed(Committed("I typed this", 12, 13), 13.1)
    assert (typed.started_at, typed.ended_at, typed.exact) == (12, 13, False)


def test_times_that_go_back_make_no_turn_that_does() -> None:
    speeches = Speeches(Agent())
    speech(speeches, 5, 4, "Hm.")
    assert told(speeches.close(6)) == [("Hm.", 5, 5, False)]
