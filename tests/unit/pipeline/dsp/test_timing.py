"""Where there is speech and where pauses: an account that adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dsp.timing import timing
from schemas.measured import SpeechSegment


def segments(*edges: int) -> list[SpeechSegment]:
    return [SpeechSegment(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def test_nothing_is_told_without_speech() -> None:
    assert timing([], 3.0) is None


def test_example_adds_up() -> None:
    found = timing(segments(300, 900, 1_400, 2_000, 2_100, 2_500), 3.0)
    assert found is not None
    assert found.speech_s == pytest.approx(1.6)
    assert found.leading_silence_s == pytest.approx(0.3)
    assert found.trailing_silence_s == pytest.approx(0.5)
    assert found.pauses_s == pytest.approx((0.5,))
    assert found.span_s == pytest.approx(2.2)


@pytest.mark.parametrize(("gap_ms", "pauses"), [(199, ()), (200, (0.2,)), (201, (0.201,))])
def test_pause_has_200_ms_at_least(gap_ms: int, pauses: tuple[float, ...]) -> None:
    found = timing(segments(0, 500, 500 + gap_ms, 1_000), 1.0)
    assert found is not None
    assert found.pauses_s == pytest.approx(pauses)


EDGES = st.lists(st.integers(0, 60_000), min_size=2, max_size=40, unique=True).map(
    lambda edges: sorted(edges[: len(edges) // 2 * 2])
)


@given(EDGES, st.integers(0, 1_000))
def test_silence_speech_pauses_and_short_gaps_are_the_whole_turn(edges: list[int], after_ms: int) -> None:
    duration_s = (edges[-1] + after_ms) / 1000
    found = timing(segments(*edges), duration_s)
    assert found is not None
    gaps = [(start - end) / 1000 for end, start in zip(edges[1:-1:2], edges[2::2], strict=True)]
    short_s = sum(gap for gap in gaps if gap < 0.2)
    assert found.span_s == pytest.approx(found.speech_s + sum(found.pauses_s) + short_s)
    assert duration_s == pytest.approx(found.leading_silence_s + found.span_s + found.trailing_silence_s)
    assert len(found.pauses_s) == sum(gap >= 0.2 for gap in gaps)
    assert min(found.leading_silence_s, found.trailing_silence_s, found.speech_s) >= 0


def test_speech_that_ends_a_moment_after_the_turn_leaves_no_negative_silence() -> None:
    found = timing(segments(0, 1_000), 0.9996)
    assert found is not None
    assert found.trailing_silence_s == 0
