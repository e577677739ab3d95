"""True times and audio of a turn, the delay of the jitter buffer, and who people are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from mise_observer.jitter import Jitter, Look
from mise_observer.recording import Pcm
from mise_observer_livekit.people import People, harmless
from mise_observer_livekit.turns import Draft, refined

RATE = 24_000


def told(heard: Pcm | None, *, delay_s: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float, Pcm | None]:
    """LiveKit says: from 10.6 to 12.1 on the clock."""
    return refined(Draft("t", "who", "user", "Hello", 10.6, 12.1, refine=True, delay_s=delay_s), heard)


def around(speech_from: float, speech_to: float, *, noise: int = 0) -> Pcm:
    """Audio from 10 to 12.3 with a tone in it."""
    times = 10 + np.arange(round(2.3 * RATE)) / RATE
    tone = np.where((times >= speech_from) & (times < speech_to), 8_000 * np.sin(times * 1_400), 0)
    tone += np.random.default_rng(1).integers(-noise, noise + 1, len(times))
    return Pcm(tone.astype(np.int16), RATE, 10.0)


def test_a_turn_is_where_it_is_heard_less_the_delay_and_its_audio_begins_there() -> None:
    *times, sound = told(around(10.5, 12.0), delay_s=(0.07, 0.07))
    assert times == pytest.approx([10.43, 11.93], abs=0.011)
    assert sound is not None
    assert len(sound.samples) == pytest.approx(1.5 * RATE, abs=0.02 * RATE)
    assert np.abs(sound.samples[: RATE // 50]).max() > 1_000


def test_on_a_noisy_line_the_times_of_the_detection_stay() -> None:
    *times, sound = told(around(10.5, 12.0, noise=1_500), delay_s=(0.07, 0.07))
    assert times == pytest.approx([10.53, 12.03])
    assert sound is not None
    assert len(sound.samples) == pytest.approx(1.5 * RATE, abs=1)


@pytest.mark.parametrize("sound", [None, Pcm(np.zeros(2 * RATE, np.int16), RATE, 10.0)], ids=["none", "silent"])
def test_without_sound_the_times_of_the_detection_stay(sound: Pcm | None) -> None:
    *times, _ = told(sound, delay_s=(0.07, 0.07))
    assert times == pytest.approx([10.53, 12.03])


def test_start_and_end_have_each_their_delay() -> None:
    *times, _ = told(None, delay_s=(0.05, 0.08))
    assert times == pytest.approx([10.55, 12.02])


def test_the_delay_is_that_of_the_time_asked_for() -> None:
    jitter = Jitter()
    assert jitter.delay_s(1) is None
    emitted, delay = 0, 0.0
    for second in range(10):
        jitter.note(Look(float(second), delay, emitted))
        emitted += 48_000
        delay += 48_000 * (0.03 if second < 5 else 0.08)
    assert jitter.delay_s(2.5) == pytest.approx(0.05)
    assert jitter.delay_s(6.5) == pytest.approx(0.1)
    assert jitter.delay_s(20.0) == pytest.approx(0.1)
    assert jitter.delay_s(-1.0) is None


def test_a_track_that_gave_nothing_has_no_delay() -> None:
    jitter = Jitter()
    jitter.note(Look(1.0, 0.0, 0))
    assert jitter.delay_s(0.5) is None


@dataclass
class Remote:
    sid: str
    identity: str = "+49 30 1234567"
    kind: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)


def test_a_participant_is_its_first_sid_however_often_he_connects() -> None:
    people = People()
    people.see(Remote("PA_1"), connected_at=5.0)
    person = people.see(Remote("PA_2"), connected_at=9.0)
    assert (person.sid, person.current_sid, person.connected_at) == ("PA_1", "PA_2", 9.0)


def test_roles_follow_from_kinds_unless_somebody_says_otherwise() -> None:
    people = People()
    assert people.see(Remote("PA_1", "a", kind=3)).kind == "sip"
    assert people.see(Remote("PA_1", "a", kind=3)).role == "user"
    assert people.see(Remote("PA_2", "b", kind=4)).role == "agent"
    assert people.see(Remote("PA_3", "c", attributes={"mise.role": "human_agent"})).role == "human_agent"
    assert people.see(Remote("PA_4", "d", attributes={"mise.role": "boss"})).role == "user"
    assert people.see(Remote("PA_5", "e", kind=99)).kind == "unknown"
    told = People(lambda participant: "human_agent" if getattr(participant, "kind", None) == 3 else None)
    assert told.see(Remote("PA_6", "f", kind=3)).role == "human_agent"


@pytest.mark.parametrize("name", ["support-20261129-a1", "call-1", "RM 4711"])
def test_names_of_rooms_are_sent(name: str) -> None:
    assert harmless(name) == name


@pytest.mark.parametrize(
    "name", ["", "call-_+15105550100_x7", "call-030 1234567 89", "jo@example.com", "sip:1-510-555-0100"]
)
def test_names_that_may_be_numbers_or_addresses_are_not(name: str) -> None:
    assert harmless(name) is None
