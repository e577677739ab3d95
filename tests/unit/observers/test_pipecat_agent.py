"""The turns of the agent, from what its output says and plays, without Pipecat."""

from __future__ import annotations

import numpy as np
import pytest

from mise_observer.recording import MOST_BYTES, Samples
from mise_observer_pipecat.agent import LAST_CHUNK_S, AgentTurns
from mise_observer_pipecat.said import Said

RATE = 16_000
CHUNK_S = 0.04
SENTENCES = ["Pity the world, or else.", "This glutton be.", "To eat the due."]


def chunk(number: int) -> Samples:
    many = round(CHUNK_S * RATE)
    return np.arange(number * many, (number + 1) * many).astype(np.int16)


def script(agent: AgentTurns, *, sentences: list[str] = SENTENCES, seconds: float = 2.0, key: str = "answer") -> None:
    """As a speech service hands it on: each sentence with its audio, long before it is played."""
    for sentence in sentences:
        agent.script.announced(key, sentence)
        agent.script.synthesized(key, seconds)
        agent.script.spoken(key, sentence, spaced=False)
    agent.script.context_over(key)


def play(agent: AgentTurns, start: float, seconds: float, *, pace: float = 1.0) -> float:
    """The output takes chunks from `start` on. pace : how long it takes for one, of its length. Returns when."""
    for number in range(round(seconds / CHUNK_S)):
        start += CHUNK_S * pace
        agent.played(chunk(number), RATE, start, speech=True)
    return start


def only(said: list[Said]) -> Said:
    (turn,) = said
    return turn


def test_what_was_played_to_its_end_has_its_whole_text_and_sound() -> None:
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 6.0))
    assert agent.settled(16.1) == []
    turn = only(agent.settled(16.0 + LAST_CHUNK_S))
    assert (turn.role, turn.participant, turn.interrupted) == ("agent", "agent", False)
    assert turn.text == "Pity the world, or else. This glutton be. To eat the due."
    assert turn.started_at == 10.0
    assert turn.ended_at == pytest.approx(16.0)
    assert turn.audio is not None
    assert np.array_equal(turn.audio.samples, np.concatenate([chunk(k) for k in range(150)]))


@pytest.mark.parametrize(
    ("heard_s", "text"),
    [
        (0.2, "Pity"),
        (1.0, "Pity the"),
        (2.0, "Pity the world, or else."),
        (3.4, "Pity the world, or else. This glutton"),
        (5.96, "Pity the world, or else. This glutton be. To eat the due."),
    ],
)
def test_what_was_cut_off_has_the_text_as_far_as_it_was_heard(heard_s: float, text: str) -> None:
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    now = play(agent, 10.0, heard_s)
    agent.interrupted(now)
    agent.stopped(now)
    turn = only(agent.settled(now + 1.0))
    assert (turn.interrupted, turn.text) == (True, text)
    assert turn.ended_at == pytest.approx(10.0 + heard_s)


def test_chunk_that_was_being_played_at_the_cut_was_heard() -> None:
    # output   |----|----|----|xxxx          the cut in the middle of the third chunk, which is played to its end
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    play(agent, 10.0, 2 * CHUNK_S)
    agent.interrupted(10.1)
    agent.stopped(10.1)
    agent.played(chunk(2), RATE, 10.12, speech=True)
    turn = only(agent.settled(11.0))
    assert turn.ended_at == pytest.approx(10.12)
    assert turn.audio is not None
    assert np.array_equal(turn.audio.samples, np.concatenate([chunk(k) for k in range(3)]))


def test_output_that_takes_audio_ahead_of_time_drops_what_it_has_not_played() -> None:
    """As Pipecat's websocket transports: twice as fast as it is played, cleared at an interruption."""
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    now = play(agent, 10.0, 4.0, pace=0.5)
    assert now == pytest.approx(12.0)
    agent.interrupted(12.0)
    agent.stopped(12.0)
    turn = only(agent.settled(13.0))
    assert turn.ended_at == pytest.approx(12.0)
    assert turn.text == "Pity the world, or else."
    assert turn.audio is not None
    assert len(turn.audio.samples) == 2 * RATE


def test_output_that_takes_audio_ahead_of_time_and_is_not_cut_off_plays_all_of_it() -> None:
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 6.0, pace=0.5))
    assert only(agent.settled(20.0)).ended_at == pytest.approx(16.0)


def test_what_was_handed_over_to_its_end_is_cut_off_while_the_last_of_it_is_played() -> None:
    """As in a room of LiveKit, whose output takes a second ahead of time and is cleared."""
    # handed over   |--------|            it stops speaking with the last of it
    # played        |---------------|x    the cut
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 6.0, pace=0.8))
    assert agent.settled(15.2) == []
    agent.interrupted(15.4)
    turn = only(agent.settled(15.4 + LAST_CHUNK_S))
    assert (turn.interrupted, turn.text) == (True, "Pity the world, or else. This glutton be. To eat the")
    assert turn.ended_at == pytest.approx(15.4)
    assert turn.audio is not None
    assert len(turn.audio.samples) == pytest.approx(5.4 * RATE, abs=1)


def test_next_answer_begins_when_the_last_of_the_one_before_is_played() -> None:
    agent = AgentTurns("agent")
    script(agent, sentences=["One."], key="a")
    script(agent, sentences=["Two."], key="b")
    agent.started(10.0)
    now = play(agent, 10.0, 2.0, pace=0.5)
    agent.stopped(now)
    first = only(agent.started(now))
    agent.stopped(play(agent, now, 2.0, pace=0.5))
    second = only(agent.settled(20.0))
    assert (first.text, second.text) == ("One.", "Two.")
    assert (first.ended_at, second.started_at, second.ended_at) == pytest.approx((12.0, 12.0, 14.0))


def test_underrun_is_silence_in_the_audio() -> None:
    agent = AgentTurns("agent")
    agent.started(10.0)
    play(agent, 10.0, 1.0)
    agent.stopped(play(agent, 11.5, 1.0))
    turn = only(agent.settled(20.0))
    assert turn.ended_at == pytest.approx(12.5)
    assert turn.audio is not None
    assert len(turn.audio.samples) == round(2.5 * RATE)
    assert not turn.audio.samples[RATE : round(1.5 * RATE)].any()


def test_words_with_times_are_heard_when_their_time_has_come() -> None:
    agent = AgentTurns("agent")
    agent.script.announced("answer", "Pity the world.")
    for at, word in [(10.0, "Pity"), (10.4, "the"), (10.8, "world.")]:
        agent.script.spoken("answer", word, spaced=False, at=at)
    agent.script.synthesized("answer", 1.2)
    agent.started(10.0)
    now = play(agent, 10.0, 0.6)
    agent.interrupted(now)
    agent.stopped(now)
    assert only(agent.settled(20.0)).text == "Pity the"


def test_sentence_that_is_cut_off_before_its_text_came_has_text() -> None:
    """The speech service hands on the text of a sentence after its audio."""
    agent = AgentTurns("agent")
    agent.script.announced("answer", "Pity the world, or else.")
    agent.script.synthesized("answer", 2.0)
    agent.started(10.0)
    now = play(agent, 10.0, 1.0)
    agent.interrupted(now)
    agent.stopped(now)
    assert only(agent.settled(20.0)).text == "Pity the"


def test_text_that_comes_before_all_of_its_sound_is_cut_by_its_share_of_it() -> None:
    """As from a service that is given word by word: its sentences, with the spaces in between, then the audio."""
    agent = AgentTurns("agent")
    for sentence in ["Pity the world, or else. ", "This glutton be. ", "To eat the due."]:
        agent.script.announced("answer", sentence)
        agent.script.spoken("answer", sentence, spaced=False)
    agent.script.synthesized("answer", 6.0)
    agent.started(10.0)
    now = play(agent, 10.0, 3.0)
    agent.interrupted(now)
    agent.stopped(now)
    assert only(agent.settled(20.0)).text == "Pity the world, or else. This"


def test_speech_service_without_text_leaves_the_language_models() -> None:
    agent = AgentTurns("agent")
    agent.script.answer_begins()
    for word in ["Pity ", "the ", "world."]:
        agent.script.answer(word)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 1.0))
    assert only(agent.settled(20.0)).text == "Pity the world."


def test_interruption_gives_up_what_was_to_be_said() -> None:
    agent = AgentTurns("agent")
    script(agent, sentences=["Never heard."], key="dropped")
    agent.interrupted(9.0)
    script(agent, sentences=["Heard."], key="next")
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 2.0))
    turn = only(agent.settled(20.0))
    assert (turn.text, turn.interrupted) == ("Heard.", False)


def test_interruption_leaves_what_it_may_not_take_away() -> None:
    agent = AgentTurns("agent")
    script(agent, sentences=["Dropped."], key="dropped")
    agent.script.announced("lasting", "This call is recorded.", lasting=True)
    agent.script.synthesized("lasting", 2.0)
    agent.interrupted(9.0)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 2.0))
    assert only(agent.settled(20.0)).text == "This call is recorded."


def test_agent_that_speaks_on_was_not_interrupted() -> None:
    """Pipecat announces every user turn by an interruption; speech that may not be interrupted goes on."""
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    agent.interrupted(11.0)
    agent.stopped(play(agent, 10.0, 6.0))
    assert only(agent.settled(20.0)).interrupted is False


def test_answers_in_a_row_have_each_its_text() -> None:
    agent = AgentTurns("agent")
    script(agent, sentences=["One."], key="a", seconds=1.0)
    script(agent, sentences=["Two."], key="b", seconds=1.0)
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 1.0))
    first = agent.started(11.1)
    agent.stopped(play(agent, 11.1, 1.0))
    assert [turn.text for turn in [*first, *agent.settled(20.0)]] == ["One.", "Two."]


def test_agent_whose_sound_does_not_come_by_is_a_turn_without_audio() -> None:
    """An avatar's, for instance, which speaks elsewhere."""
    agent = AgentTurns("agent")
    agent.script.answer("Hello.")
    agent.started(10.0)
    agent.stopped(12.0)
    turn = only(agent.settled(20.0))
    assert (turn.text, turn.audio, turn.ended_at) == ("Hello.", None, 12.0)


def test_what_is_mixed_in_after_the_end_is_no_speech() -> None:
    agent = AgentTurns("agent")
    agent.started(10.0)
    agent.stopped(play(agent, 10.0, 1.0))
    agent.played(chunk(0), RATE, 11.04, speech=False)
    assert only(agent.settled(20.0)).ended_at == pytest.approx(11.0)


def test_hung_up_on_is_cut_off() -> None:
    agent = AgentTurns("agent")
    script(agent)
    agent.started(10.0)
    now = play(agent, 10.0, 1.0)
    turn = only(agent.close(now))
    assert (turn.interrupted, turn.text) == (True, "Pity the")
    assert turn.ended_at == pytest.approx(11.0)
    assert agent.close(now) == []


def test_turn_of_more_audio_than_is_kept_has_its_beginning_its_times_and_says_so() -> None:
    agent = AgentTurns("agent")
    agent.started(0.0)
    second = np.ones(48_000, np.int16)
    for k in range(200):
        agent.played(second, 48_000, k + 1.0, speech=True)
    agent.stopped(200.0)
    turn = only(agent.settled(300.0))
    assert turn.ended_at == pytest.approx(200.0)
    assert turn.audio is not None
    assert MOST_BYTES - second.nbytes < turn.audio.samples.nbytes <= MOST_BYTES
    assert turn.metadata == {"audio": "too_long"}
