"""Frames: they cover the sound once, and their power is the sound's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.decode import Sound
from pipeline.dsp.frames import BLOCK_FRAMES, analysis_rate, frame_count, grid, power_spectra
from pipeline.dsp.spectrum import shape
from tests.unit.pipeline.dsp.signals import RATES, sine, white

BOTH = st.sampled_from([8_000, 16_000])


@pytest.mark.parametrize(
    ("rate", "at"), [(1_000, 8_000), (8_000, 8_000), (15_999, 8_000), (16_000, 16_000), (48_000, 16_000)]
)
def test_sound_is_measured_at_one_of_two_rates(rate: int, at: int) -> None:
    assert analysis_rate(rate) == at


@given(BOTH, st.integers(1, 400_000))
def test_frames_are_the_whole_hops_and_one_at_least(rate: int, length: int) -> None:
    assert frame_count(Sound(np.zeros(length, np.float32), rate)) == max(1, length * 100 // rate)


@RATES
@pytest.mark.parametrize("frames", [1, 2, BLOCK_FRAMES, BLOCK_FRAMES + 1, 3 * BLOCK_FRAMES - 1])
def test_blocks_hold_each_frame_once_in_order(rate: int, frames: int) -> None:
    sound = white(rate, length_s=frames / 100)
    covered = [index for where, power in power_spectra(sound) for index in range(frames)[where][: len(power)]]
    assert covered == list(range(frames))
    assert all(power.shape[1] == grid(rate).bins for _, power in power_spectra(sound))


@RATES
def test_squared_tapers_add_up_to_a_constant(rate: int) -> None:
    cut = grid(rate)
    summed = np.square(cut.taper.astype(np.float64)).reshape(-1, cut.hop).sum(axis=0)
    assert summed == pytest.approx(np.full(cut.hop, 1.5))


@given(BOTH, st.integers(0, 1_000), st.floats(0.01, 1))
def test_power_of_a_frame_is_that_of_its_tapered_samples(rate: int, seed: int, rms: float) -> None:
    """Parseval; the same as a loop over the frames finds in the samples."""
    sound, cut = white(rate, length_s=0.2, rms=rms, seed=seed), grid(rate)
    found = np.concatenate([shape(power, rate).power for _, power in power_spectra(sound)])
    before = (cut.window - cut.hop) // 2
    padded = np.pad(sound.samples.astype(np.float64), cut.window)
    for index, power in enumerate(found):
        window = padded[cut.window + index * cut.hop - before :][: cut.window]
        tapered = (window - window.mean()) * cut.taper
        assert power == pytest.approx(np.square(tapered).sum() / np.square(cut.taper, dtype=float).sum(), rel=1e-4)


@RATES
def test_mean_over_frames_is_the_mean_over_time(rate: int) -> None:
    sound = white(rate, length_s=5)
    found = np.concatenate([shape(power, rate).power for _, power in power_spectra(sound)])
    assert found[4:-4].mean() == pytest.approx(np.square(sound.samples).mean(), rel=0.02)


@RATES
@pytest.mark.parametrize("hz", [500, 1_000, 3_000])
def test_tone_lies_in_its_bin(rate: int, hz: int) -> None:
    _, power = next(power_spectra(sine(hz, rate)))
    cut = grid(rate)
    assert cut.frequencies[power[10].argmax()] == pytest.approx(hz, abs=rate / cut.transform / 2)


@RATES
def test_constant_has_no_power_inside(rate: int) -> None:
    _, power = next(power_spectra(Sound(np.full(rate, 0.5, np.float32), rate)))
    assert shape(power, rate).power[3:-3] == pytest.approx(0, abs=1e-12)
