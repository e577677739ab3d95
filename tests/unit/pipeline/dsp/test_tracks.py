"""Tracks: the level is the tone's up to the ends, and a frame knows only of its neighbourhood."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.decode import Sound
from pipeline.dsp.tracks import FLOOR_DBFS, measure_tracks
from tests.unit.pipeline.dsp.signals import RATES, centres_s, seconds, sine, sung, white

BOTH = st.sampled_from([8_000, 16_000])

PER_FRAME = (
    *(
        "power",
        "weighted_power",
        "level_dbfs",
        "hop_level_dbfs",
        "speech_band_dbfs",
        "f0_hz",
        "strength",
        "periodicity",
    ),
    *("bands", "centroid_hz", "flux", "alpha_ratio_db", "hammarberg_db", "cpp_db"),
)


@settings(max_examples=40)
@given(BOTH, st.floats(200, 3_800), st.integers(40, 1_500), st.floats(0.01, 1))
def test_level_of_a_steady_tone_is_its_own_in_every_frame(rate: int, hz: float, length_ms: int, peak: float) -> None:
    """Also in the first and the last, whose windows reach out of the sound."""
    found = measure_tracks(sine(hz, rate, length_s=length_ms / 1000, peak=peak)).level_dbfs
    assert found == pytest.approx(np.full(length_ms // 10, 20 * np.log10(peak) - 3.0103), abs=0.3)


@RATES
def test_level_of_a_hop_is_that_of_its_own_10_ms(rate: int) -> None:
    sound = white(rate, length_s=0.5)
    own = np.square(sound.samples, dtype=np.float64).reshape(-1, rate // 100).mean(axis=1)
    assert measure_tracks(sound).hop_level_dbfs == pytest.approx(10 * np.log10(own), abs=1e-3)


@RATES
def test_frames_of_a_long_sound_are_those_of_its_pieces(rate: int) -> None:
    """Wherever the blocks begin and the candidates' path is cut."""
    at = seconds(rate, 5)
    sound = sung(140 + 30 * np.sin(2 * np.pi * 0.7 * at), rate)
    sound = Sound(sound.samples + white(rate, length_s=5, rms=0.003).samples, rate)
    whole = measure_tracks(sound)
    for start, end in ((0, 130), (77, 211), (250, 500)):
        piece = measure_tracks(Sound(sound.samples[start * rate // 100 : end * rate // 100], rate))
        for name in PER_FRAME:
            one, other = getattr(whole, name)[start + 5 : end - 5], getattr(piece, name)[5:-5]
            assert one == pytest.approx(other, rel=1e-3, abs=1e-6, nan_ok=True), name


@given(BOTH, st.integers(1, 4_000), st.integers(0, 1_000))
def test_tracks_are_as_long_as_each_other_and_numbers_where_they_are_promised(
    rate: int, length: int, seed: int
) -> None:
    tracks = measure_tracks(white(rate, length_s=length / rate, seed=seed))
    values = {field.name: getattr(tracks, field.name) for field in dataclasses.fields(tracks)} | {"rate": None}
    assert {name for name, value in values.items() if value is not None} == set(PER_FRAME)
    for name in PER_FRAME:
        assert len(values[name]) == len(tracks) == max(1, length * 100 // rate), name
        assert values[name].dtype == np.float32, name
        if name not in ("f0_hz", "strength", "flux"):
            assert np.isfinite(values[name]).all(), name
    assert (np.isfinite(tracks.f0_hz) == np.isfinite(tracks.strength)).all()
    assert np.isnan(tracks.flux[0])
    assert np.isfinite(tracks.flux[1:]).all()
    assert ((tracks.periodicity >= 0) & (tracks.periodicity < 1)).all()
    assert tracks.times_s == pytest.approx(centres_s(len(tracks)))


@RATES
def test_digital_silence_lies_on_the_floor(rate: int) -> None:
    tracks = measure_tracks(Sound(np.zeros(rate, np.float32), rate))
    assert tracks.level_dbfs == pytest.approx(FLOOR_DBFS)
    assert tracks.hop_level_dbfs == pytest.approx(FLOOR_DBFS)
    assert np.isnan(tracks.f0_hz).all()


@settings(max_examples=30)
@given(BOTH, st.integers(-6, 3))
def test_gain_moves_the_levels_and_nothing_else(rate: int, doublings: int) -> None:
    """Doubling is exact in floating point: so is what follows, up to logarithms."""
    sound = sung(np.full(rate // 2, 140.0), rate)
    soft, loud = measure_tracks(sound), measure_tracks(Sound(sound.samples * np.float32(2.0**doublings), rate))
    for name in PER_FRAME:
        one, other = getattr(soft, name), getattr(loud, name)
        if name in ("level_dbfs", "hop_level_dbfs", "speech_band_dbfs"):
            assert other - one == pytest.approx(np.full(len(soft), 6.0206 * doublings), abs=1e-3), name
        elif name in ("power", "weighted_power", "bands"):
            assert other == pytest.approx(one * 4.0**doublings, rel=1e-5), name
        else:
            assert other == pytest.approx(one, rel=1e-4, abs=1e-4, nan_ok=True), name
