"""The turns of users, from marks and audio, without Pipecat."""

from __future__ import annotations

import numpy as np
import pytest

from mise_observer_pipecat.said import Said
from mise_observer_pipecat.users import LATE_S, SETTLE_S, SETTLED_S, UserTurns

RATE = 16_000
FRAME_S = 0.02
WITHIN_S = 0.011
"""`voiced` goes in steps of 10 ms."""


class Line:
    """A line on which sound is at known times, frame by frame, with the marks that Pipecat would put in."""

    def __init__(self, *sounds: tuple[float, float], user_id: str = "") -> None:
        self.users = UserTurns()
        self.now = 0.0
        self._sounds = sounds
        self._user_id = user_id
        self._random = np.random.default_rng(0)
        self.said: list[Said] = []

    def until(self, moment: float) -> None:
        """Let the time pass, with audio."""
        while self.now < moment - 1e-9:
            times = self.now + np.arange(round(FRAME_S * RATE)) / RATE
            samples = self._random.integers(-3, 4, len(times)).astype(float)
            for start, end in self._sounds:
                samples += np.where((times >= start) & (times < end), 6_000 * np.sin(2 * np.pi * 300 * times), 0)
            self.now += FRAME_S
            self.users.audio(self._user_id, samples.astype(np.int16), RATE, self.now)
            self.said += self.users.settled(self.now)

    def speech(self, start: float, end: float) -> None:
        """What Silero says with its defaults, and how late."""
        self.until(start + 0.35)
        self.users.speech_started(self.now, 0.2)
        self.until(end + 0.24)
        self.users.speech_stopped(self.now, 0.2)

    def text(self, text: str, user_id: str = "") -> None:
        self.users.transcribed(user_id or self._user_id, text, self.now)


def spans(said: list[Said]) -> list[float]:
    """The start and the end of each."""
    return [moment for turn in said for moment in (turn.started_at, turn.ended_at)]


def test_a_turn_begins_and_ends_with_its_sound_not_with_the_marks() -> None:
    line = Line((1.0, 2.5))
    line.until(1.34)
    line.users.speech_started(line.now, 0.2)
    line.users.turn_started(line.now)
    line.until(2.74)
    line.users.speech_stopped(line.now, 0.2)
    line.until(3.0)
    line.text("Hello there.")
    line.users.turn_stopped(line.now)
    line.until(4.0)
    (turn,) = line.said
    assert (turn.role, turn.participant, turn.text, turn.interrupted) == ("user", "user", "Hello there.", None)
    assert spans([turn]) == pytest.approx([1.0, 2.5], abs=WITHIN_S)
    assert turn.audio is not None
    assert turn.audio.started_at == turn.started_at
    assert len(turn.audio.samples) / RATE == pytest.approx(1.5, abs=2 * WITHIN_S)


def test_pauses_within_a_user_turn_belong_to_it() -> None:
    # voice   |-----|    |-----|
    # turn       |------------------|
    line = Line((1.0, 2.0), (3.0, 4.0))
    line.speech(1.0, 2.0)
    line.text("I would like")
    line.users.turn_started(line.now)
    line.speech(3.0, 4.0)
    line.text("to book a table.")
    line.users.turn_stopped(line.now)
    line.until(6.0)
    assert spans(line.said) == pytest.approx([1.0, 4.0], abs=WITHIN_S)
    assert line.said[0].text == "I would like to book a table."


def test_backchannel_is_a_turn_of_its_own_and_its_text_is_not_in_the_next_one() -> None:
    # voice   |--|           |---------|
    # turn                             |--|
    line = Line((1.0, 1.3), (3.0, 5.0))
    line.speech(1.0, 1.3)
    line.until(1.7)
    line.text("Yes.")
    line.speech(3.0, 5.0)
    line.text("No, wait a moment.")
    line.users.turn_started(line.now)
    line.users.turn_stopped(line.now)
    line.until(8.0)
    assert [turn.text for turn in line.said] == ["Yes.", "No, wait a moment."]
    assert spans(line.said) == pytest.approx([1.0, 1.3, 3.0, 5.0], abs=WITHIN_S)


def test_transcription_that_comes_when_the_next_speech_has_begun_is_of_the_one_before() -> None:
    line = Line((1.0, 1.6), (2.0, 4.0))
    line.speech(1.0, 1.6)
    line.until(2.36)
    line.users.speech_started(line.now, 0.2)
    line.text("Mm-hm.")
    line.until(4.24)
    line.users.speech_stopped(line.now, 0.2)
    line.text("And then?")
    line.until(8.0)
    assert [turn.text for turn in line.said] == ["Mm-hm.", "And then?"]


def test_turn_without_transcription_is_still_a_turn() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.until(2.24 + SETTLE_S - 0.1)
    assert line.said == []
    line.until(2.24 + SETTLE_S + 0.1)
    assert [turn.text for turn in line.said] == [""]
    assert spans(line.said) == pytest.approx([1.0, 2.0], abs=WITHIN_S)


def test_transcription_that_comes_after_the_turn_was_sent_is_the_same_turn_again_with_its_text() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.until(line.now + SETTLE_S + 1.0)
    line.users.transcribed("", "I would like", line.now, "en")
    line.until(line.now + 1.0)
    line.text("a table.")
    line.until(line.now + 1.0)
    without, with_some, with_all = line.said
    assert [without.text, with_some.text, with_all.text] == ["", "I would like", "I would like a table."]
    assert {turn.turn_id for turn in line.said} == {without.turn_id}
    assert spans([with_all]) == spans([without])
    assert with_all.audio is without.audio is not None
    assert with_all.language == "en"


def test_transcription_that_comes_far_too_late_is_a_turn_without_audio() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.until(line.now + SETTLE_S + LATE_S + 0.2)
    line.text("Hello?")
    line.until(line.now + 1.0)
    assert [(turn.text, turn.audio is None) for turn in line.said] == [("", False), ("Hello?", True)]
    assert len({turn.turn_id for turn in line.said}) == 2


def test_next_speech_keeps_its_transcription_though_the_one_before_has_none() -> None:
    # a door, and a word
    line = Line((1.0, 1.3), (6.0, 6.3))
    line.speech(1.0, 1.3)
    line.speech(6.0, 6.3)
    line.text("Yes.")
    line.until(9.0)
    assert [turn.text for turn in line.said] == ["", "Yes."]


def test_late_transcription_comes_with_the_end_of_the_call() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.until(line.now + SETTLE_S + 0.1)
    line.text("Goodbye.")
    (again,) = line.users.close(line.now)
    assert (again.text, again.turn_id) == ("Goodbye.", line.said[0].turn_id)


def test_turn_with_text_does_not_wait_for_long() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.text("Yes.")
    line.until(line.now + SETTLED_S + 0.05)
    assert [turn.text for turn in line.said] == ["Yes."]


def test_turn_of_an_stt_without_voice_activity_is_found_in_the_audio() -> None:
    line = Line((1.0, 2.0))
    line.until(1.6)
    line.users.turn_started(line.now)
    line.until(2.6)
    line.text("Hello?")
    line.users.turn_stopped(line.now)
    line.until(4.0)
    assert spans(line.said) == pytest.approx([1.0, 2.0], abs=WITHIN_S)


def test_user_turn_that_voice_activity_knows_nothing_of_is_none_without_text() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.text("Hello?")
    line.until(4.0)
    line.users.turn_started(line.now)
    line.users.turn_stopped(line.now)
    line.until(8.0)
    assert [turn.text for turn in line.said] == ["Hello?"]


def test_typed_message_is_a_turn_without_audio() -> None:
    line = Line()
    line.until(1.0)
    line.text("By keyboard.")
    line.until(2.0)
    assert [(turn.text, turn.audio) for turn in line.said] == [("By keyboard.", None)]
    assert spans(line.said) == pytest.approx([1.0, 1.0], abs=WITHIN_S)


def test_word_too_short_for_voice_activity_is_found_in_the_audio() -> None:
    line = Line((1.0, 2.0), (4.0, 4.2), user_id="a")
    line.speech(1.0, 2.0)
    line.text("And then?")
    line.until(4.7)
    line.text("Mm-hmm.")
    line.until(6.0)
    assert [(turn.text, turn.metadata) for turn in line.said] == [
        ("And then?", {"uncommitted": "true"}),
        ("Mm-hmm.", {"uncommitted": "true"}),
    ]
    assert spans(line.said) == pytest.approx([1.0, 2.0, 4.0, 4.2], abs=WITHIN_S)


def test_word_too_short_for_voice_activity_is_not_of_the_noise_before() -> None:
    line = Line((1.0, 1.3), (5.0, 5.2))
    line.speech(1.0, 1.3)
    line.until(5.5)
    line.text("Mm-hmm.")
    line.until(7.0)
    assert [turn.text for turn in line.said] == ["", "Mm-hmm."]
    assert spans(line.said) == pytest.approx([1.0, 1.3, 5.0, 5.2], abs=WITHIN_S)


def test_message_typed_after_speech_has_none_of_it() -> None:
    line = Line((1.0, 2.0))
    line.speech(1.0, 2.0)
    line.text("By voice.")
    line.until(3.0)
    line.text("By keyboard.")
    line.until(5.0)
    assert [(turn.text, turn.audio is None) for turn in line.said] == [("By voice.", False), ("By keyboard.", True)]


def test_times_are_those_of_the_microphone_where_the_delay_is_known() -> None:
    line = Line((1.0, 2.0), user_id="a")
    line.users = UserTurns(lambda user_id, at: 0.08 if (user_id, at < 1.5) == ("a", True) else 0.1)
    line.speech(1.0, 2.0)
    line.text("Hello.")
    line.until(4.0)
    assert spans(line.said) == pytest.approx([0.92, 1.9], abs=WITHIN_S)


def test_what_is_transcribed_of_a_muted_user_is_no_turn() -> None:
    line = Line((1.0, 2.0))
    line.users.muted = True
    line.until(3.0)
    line.text("Nobody heard that.")
    line.until(6.0)
    assert line.said == []


def test_transcription_without_words_is_none() -> None:
    line = Line()
    line.until(1.0)
    line.text("  ")
    line.until(6.0)
    assert line.said == []


def test_what_is_being_said_when_the_call_ends_is_a_turn() -> None:
    line = Line((1.0, 9.0))
    line.until(1.34)
    line.users.speech_started(line.now, 0.2)
    line.until(2.0)
    said = line.users.close(line.now)
    assert spans(said) == pytest.approx([1.0, 2.0], abs=WITHIN_S)
    assert line.users.close(line.now) == []


def test_ids_become_anonymous_in_the_order_of_their_appearance() -> None:
    line = Line((1.0, 2.0), (5.0, 6.0), user_id="+1 555 0100 200")
    line.speech(1.0, 2.0)
    line.text("One.")
    line.until(4.0)
    line.speech(5.0, 6.0)
    line.text("Two.", user_id="alice@example.com")
    line.until(9.0)
    assert [(turn.participant, turn.text) for turn in line.said] == [("user", "One."), ("user-2", "Two.")]


def test_two_people_in_one_turn_are_two_turns() -> None:
    line = Line((1.0, 2.0), user_id="a")
    line.speech(1.0, 2.0)
    line.users.turn_started(line.now)
    line.text("Yes.", user_id="a")
    line.text("Yes, please.", user_id="b")
    line.users.turn_stopped(line.now)
    line.until(4.0)
    assert [(turn.participant, turn.text) for turn in line.said] == [("user", "Yes."), ("user-2", "Yes, please.")]


class Two:
    """Two people with a stream each, and one voice activity for both."""

    def __init__(self, *sounds: tuple[str, float, float]) -> None:
        self.a, self.b = (
            Line(*((start, end) for who, start, end in sounds if who == name), user_id=name) for name in ("a", "b")
        )
        self.users = self.b.users = self.a.users

    def until(self, moment: float) -> None:
        while self.a.now < moment - 1e-9:
            self.a.until(self.a.now + FRAME_S)
            self.b.until(self.b.now + FRAME_S)

    def speech(self, start: float, end: float) -> None:
        self.until(start + 0.35)
        self.users.speech_started(self.a.now, 0.2)
        self.until(end + 0.24)
        self.users.speech_stopped(self.a.now, 0.2)

    @property
    def said(self) -> list[Said]:
        return sorted([*self.a.said, *self.b.said], key=lambda turn: turn.started_at)


def test_who_has_a_stream_of_his_own_never_gets_anothers_audio() -> None:
    two = Two(("a", 1.0, 2.0))
    two.speech(1.0, 2.0)
    two.users.transcribed("b", "Was that me?", two.a.now)
    two.users.transcribed("nobody known", "Or me?", two.a.now)
    two.until(4.0)
    b, unknown = two.said
    assert (b.participant, b.text) == ("user-2", "Was that me?")
    assert b.audio is not None
    assert np.abs(b.audio.samples).max() < 10
    assert (unknown.participant, unknown.audio, unknown.metadata["times"]) == ("user-3", None, "vad")


@pytest.mark.parametrize("transcribed", [True, False])
def test_turn_of_nobody_named_is_of_who_is_heard(transcribed: bool) -> None:
    two = Two(("b", 1.0, 2.0))
    two.speech(1.0, 2.0)
    if transcribed:
        two.users.transcribed("", "Hello.", two.a.now)
    two.until(6.0)
    (turn,) = two.said
    assert (turn.participant, turn.text) == ("user-2", "Hello." if transcribed else "")
    assert spans([turn]) == pytest.approx([1.0, 2.0], abs=WITHIN_S)
    assert turn.audio is not None
    assert np.abs(turn.audio.samples).max() > 5_000


def test_turn_of_nobody_named_has_no_audio_when_two_are_heard() -> None:
    two = Two(("a", 1.0, 2.0), ("b", 1.2, 1.9))
    two.speech(1.0, 2.0)
    two.users.transcribed("", "Hello.", two.a.now)
    two.until(4.0)
    (turn,) = two.said
    assert (turn.participant, turn.audio) == ("user", None)


def test_only_stream_is_that_of_a_transcription_without_a_name() -> None:
    line = Line((1.0, 2.0), user_id="a")
    line.speech(1.0, 2.0)
    line.users.transcribed("", "Hello.", line.now)
    line.until(4.0)
    assert spans(line.said) == pytest.approx([1.0, 2.0], abs=WITHIN_S)


def test_speech_whose_stop_is_lost_is_heard_to_its_end() -> None:
    line = Line((1.0, 4.0), (8.0, 10.0))
    line.until(1.35)
    line.users.speech_started(line.now, 0.2)
    line.until(4.2)
    line.text("The first thing.")
    line.speech(8.0, 10.0)
    line.text("The second.")
    line.until(12.0)
    assert [turn.text for turn in line.said] == ["The first thing.", "The second."]
    assert spans(line.said) == pytest.approx([1.0, 4.0, 8.0, 10.0], abs=WITHIN_S)
    assert all(turn.audio is not None for turn in line.said)


def test_speech_that_begins_again_at_once_though_no_stop_was_told_is_two_turns_of_some_length() -> None:
    line = Line((1.0, 2.5))
    line.until(1.35)
    line.users.speech_started(line.now, 0.2)
    line.until(1.8)
    line.users.speech_started(line.now, 0.2)
    line.until(2.74)
    line.users.speech_stopped(line.now, 0.2)
    line.until(6.0)
    first, second = line.said
    assert first.started_at < first.ended_at <= second.started_at < second.ended_at
    assert spans([first, second])[::3] == pytest.approx([1.0, 2.5], abs=WITHIN_S)


def test_silence_is_not_kept() -> None:
    line = Line()
    line.until(120.0)
    assert line.users._recordings[""]._bytes <= 4 * RATE * 2


def test_nothing_is_kept_of_who_has_left() -> None:
    line = Line((1.0, 2.0), user_id="a")
    line.speech(1.0, 2.0)
    line._user_id = "b"
    line.until(4.0)
    assert set(line.users._recordings) == {"a", "b"}  # a turn of a's may still get its text
    line.until(8.0)
    assert [turn.audio is None for turn in line.said] == [False]
    assert set(line.users._recordings) == {"b"}


def test_turn_longer_than_what_is_kept_has_the_times_of_voice_activity_and_says_so() -> None:
    users = UserTurns()
    second = np.full(48_000, 5_000, np.int16)
    for k in range(200):
        users.audio("", second, 48_000, k + 1.0)
        if k == 1:
            users.speech_started(k + 1.0, 0.2)
            users.turn_started(k + 1.0)
    users.speech_stopped(200.0, 0.2)
    users.turn_stopped(200.0)
    (turn,) = users.close(200.0)
    assert (turn.started_at, turn.ended_at) == pytest.approx((1.8, 199.8))
    assert turn.audio is None
    assert turn.metadata == {"audio": "too_long", "times": "vad"}


def test_metadata_says_what_no_user_turn_was_made_of_and_what_nobody_heard() -> None:
    line = Line((1.0, 1.5), (4.0, 5.0))
    line.speech(1.0, 1.5)
    line.text("Mhm.")
    line.until(3.5)
    line.speech(4.0, 5.0)
    line.users.turn_started(line.now)
    line.text("A table, please.")
    line.users.turn_stopped(line.now)
    line.until(8.0)
    line.text("Typed.")
    line.until(9.0)
    assert [(turn.text, turn.metadata) for turn in line.said] == [
        ("Mhm.", {"uncommitted": "true"}),
        ("A table, please.", {}),
        ("Typed.", {"uncommitted": "true", "times": "estimated"}),
    ]
