"""The example call is what it says it is: its truth is found again from the turns and from the audio itself.

# s      0                   10                  20                  30                  40
# agent   |---|       |        |----|      |---|         |---|        |-------|            |---|
# caller        |-----------|         |---|    |--------|      |------|              |---|
"""

import hashlib
import io
import re
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from deploy import example
from deploy.example import ExampleCall, ExampleOverlap, ExampleTurn
from deploy.example import compose as script
from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.spurts import Utterance, utterances
from pipeline.measure import measure
from schemas.turn import Audio
from tests.records import T0, received_turn

Floats = npt.NDArray[np.float64]

RATE = 16_000
PROVENANCE = files(example).joinpath("PROVENANCE.md").read_text(encoding="utf-8")
CUT_ROW = re.compile(r"^\| `(\d\d-\w+\.flac)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)

# What reaches this level at a turn's very ends is speech: between words the louder of the two recordings is near
# -45 dBFS, and the trimming asked for -40 before the fade, which takes 2 dB from a frame at most.
HEARD_AT_ENDS_DBFS = -42.0
HEARD_DBFS = -40.0

ACTIVITY_MS = 100
"""How far the bounds of voice activity may be from those of the cuts, which were made by level: the last sounds of a
word fade out."""


@pytest.fixture(scope="module")
def call() -> ExampleCall:
    return example.load()


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def level_dbfs(x: Floats) -> float:
    return float(10 * np.log10(np.mean(x**2) + 1e-12))


def decoded(turn: ExampleTurn) -> Floats:
    samples, rate = soundfile.read(io.BytesIO(turn.audio), dtype="float64")
    assert rate == RATE
    assert samples.ndim == 1
    result: Floats = samples
    return result


def sides(call: ExampleCall) -> dict[str, Floats]:
    """Each participant's track over the whole call."""
    length = max(ms(turn.ends_s) for turn in call.turns) * RATE // 1000
    tracks = {turn.participant: np.zeros(length) for turn in call.turns}
    for turn in call.turns:
        samples = decoded(turn)
        first = ms(turn.starts_s) * RATE // 1000
        tracks[turn.participant][first : first + len(samples)] += samples
    return tracks


def raster(call: ExampleCall) -> dict[str, npt.NDArray[np.bool_]]:
    """Whether each participant has a turn in each millisecond of the call."""
    length = max(ms(turn.ends_s) for turn in call.turns)
    speaks = {turn.participant: np.zeros(length, dtype=bool) for turn in call.turns}
    for turn in call.turns:
        speaks[turn.participant][ms(turn.starts_s) : ms(turn.ends_s)] = True
    return speaks


def runs(marked: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Stretches [first, end) of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False])).astype(np.int8)))
    yield from ((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def placed(call: ExampleCall, kind: str) -> list[ExampleOverlap]:
    return [overlap for overlap in call.overlaps if overlap.placed_as == kind]


def test_call_is_small_and_of_the_promised_shape(call: ExampleCall) -> None:
    assert sum(len(turn.audio) for turn in call.turns) <= 2_000_000
    assert 8 <= len(call.turns) <= 12
    assert 25 <= max(turn.ends_s for turn in call.turns) <= 60
    assert {(turn.participant, turn.role) for turn in call.turns} == {("caller", "user"), ("agent", "agent")}
    assert [turn.starts_s for turn in call.turns] == sorted(turn.starts_s for turn in call.turns)
    assert all(turn.text for turn in call.turns)


def test_each_file_is_the_one_in_the_provenance(call: ExampleCall) -> None:
    rows = dict(CUT_ROW.findall(PROVENANCE))
    audio = {entry.name: entry.read_bytes() for entry in files(example).joinpath("audio").iterdir()}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in audio.items()} == rows
    assert sorted(audio.values()) == sorted(turn.audio for turn in call.turns)


def test_each_source_the_script_takes_is_in_the_provenance() -> None:
    for path, digest in script.SHA256.items():
        assert f"| `{path.rsplit('/', 1)[-1]}` | `{digest}` |" in PROVENANCE


def test_audio_lasts_what_the_turn_says(call: ExampleCall) -> None:
    for turn in call.turns:
        assert len(decoded(turn)) / RATE == pytest.approx(turn.ends_s - turn.starts_s, abs=0.005), turn.text


def test_stated_overlaps_are_those_of_the_turns(call: ExampleCall) -> None:
    speaks = raster(call)
    found = []
    for first, end in runs(speaks["caller"] & speaks["agent"]):
        # Who speaks already in the millisecond before is overlapped; no two turns start in the same one.
        overlapped, overlapper = ("caller", "agent") if speaks["caller"][first - 1] else ("agent", "caller")
        found.append((overlapper, overlapped, first, end - first))
    stated = [(o.overlapper, o.overlapped, ms(o.starts_s), o.duration_ms) for o in call.overlaps]
    assert stated == found


def test_interrupted_side_ends_first_and_backchannelled_side_goes_on(call: ExampleCall) -> None:
    def turn_at(participant: str, at_ms: int) -> ExampleTurn:
        (turn,) = (t for t in call.turns if t.participant == participant and ms(t.starts_s) <= at_ms < ms(t.ends_s))
        return turn

    for overlap in call.overlaps:
        at = ms(overlap.starts_s)
        over, under = turn_at(overlap.overlapper, at), turn_at(overlap.overlapped, at)
        assert ms(over.starts_s) == at
        assert (over.ends_s > under.ends_s) == (overlap.placed_as != "backchannel")
        unfinished = under.text[-1] not in ".,"
        assert unfinished == (overlap.placed_as == "interruption"), under.text


def test_each_kind_of_overlap_occurs(call: ExampleCall) -> None:
    assert {overlap.overlapper for overlap in placed(call, "interruption")} == {"agent", "caller"}
    assert all(overlap.duration_ms >= 400 for overlap in placed(call, "interruption"))
    assert [overlap.duration_ms for overlap in placed(call, "terminal")] == [150]
    assert all(overlap.duration_ms < 500 for overlap in placed(call, "backchannel"))
    assert len(placed(call, "backchannel")) == 1


def test_gaps_are_normal_but_for_one_long_silence(call: ExampleCall) -> None:
    speaks = raster(call)
    silences = [end - first for first, end in runs(~(speaks["caller"] | speaks["agent"])) if first > 0]
    normal = [silence for silence in silences if silence <= 2_000]
    assert len(silences) - len(normal) == 1
    assert len(normal) >= 4
    assert all(200 <= silence <= 800 for silence in normal)


def test_speech_reaches_both_ends_of_each_file(call: ExampleCall) -> None:
    edge = RATE * 20 // 1000
    for turn in call.turns:
        samples = decoded(turn)
        assert level_dbfs(samples[:edge]) > HEARD_AT_ENDS_DBFS, turn.text
        assert level_dbfs(samples[-edge:]) > HEARD_AT_ENDS_DBFS, turn.text


def test_both_sides_are_heard_during_each_overlap(call: ExampleCall) -> None:
    frame = RATE // 100
    for overlap in call.overlaps:
        first = ms(overlap.starts_s) * RATE // 1000
        end = first + overlap.duration_ms * RATE // 1000
        for participant, track in sides(call).items():
            heard = track[first:end]
            assert level_dbfs(heard) > HEARD_DBFS, (overlap, participant)
            frames = heard[: len(heard) // frame * frame].reshape(-1, frame)
            loud = np.mean([level_dbfs(each) > HEARD_DBFS for each in frames])
            assert loud >= 0.8, (overlap, participant)  # the rest are closures of stops, not pauses


def test_overlaps_are_found_again_by_voice_activity(call: ExampleCall) -> None:
    spoken: list[Utterance] = []
    for number, turn in enumerate(call.turns):
        audio = Audio("blob", turn.audio_format, len(turn.audio))
        received = received_turn(
            ms(turn.starts_s), ms(turn.ends_s), f"t{number:02}", turn.participant, turn.text, audio=audio
        )
        spoken += utterances(measure(received, turn.audio, longest_s=60))
    events = sorted(event for said in annotate(spoken).turns.values() for event in said.overlaps)
    placed_as = {"interruption": "interruption", "backchannel": "backchannel", "overlap": "terminal"}
    assert [(event.overlapper, event.overlapped, placed_as[event.class_]) for event in events] == [
        (overlap.overlapper, overlap.overlapped, overlap.placed_as) for overlap in call.overlaps
    ]
    for event, overlap in zip(events, call.overlaps, strict=True):
        assert event.start - T0 == pytest.approx(ms(overlap.starts_s), abs=ACTIVITY_MS), overlap
        assert event.end - T0 == pytest.approx(ms(overlap.starts_s) + overlap.duration_ms, abs=ACTIVITY_MS), overlap


def test_trim_finds_a_sound_to_the_frame_and_leaves_a_click() -> None:
    # ms      0    50   100        400    500
    # window  .....|....============......      a click at 50, a sound from 100 to 400
    window = np.zeros(500 * 16, dtype=np.int16)
    window[50 * 16] = 20_000
    window[100 * 16 : 400 * 16] = 2_000
    assert script.trim(window, speech_dbfs=-36.0) == (100 * 16, 400 * 16)


def test_trim_refuses_a_window_without_speech() -> None:
    with pytest.raises(ValueError, match=r"no speech: the loudest frame has -120\.0 dBFS"):
        script.trim(np.zeros(8_000, dtype=np.int16), speech_dbfs=-36.0)


def test_overlap_that_is_not_declared_is_refused() -> None:
    first = script.Cut(source=script.SONNET, from_ms=0, to_ms=1, text="a")
    second = script.Cut(source=script.NOVEL, from_ms=0, to_ms=1, text="b", gap_ms=-100)
    with pytest.raises(ValueError, match="'b' overlaps by 100 ms and is placed as None"):
        script.place((first, second), [1_000, 1_000])
