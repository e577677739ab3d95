"""All that is measured frame by frame, in one pass over the turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import HOP_S, frame_count, grid, power_spectra
from pipeline.dsp.pitch import Candidates, candidates, path, relative_peaks
from pipeline.dsp.spectrum import BAND_CENTRES_HZ, TINY, flux, shape
from pipeline.dsp.world import world_pitch
from schemas.features import F0Estimator

FLOOR_DBFS = -120.0
"""Level of digital silence, and of what is weaker: below the rounding of 16 bits (-98 dBFS), above that of float32."""


@dataclass(frozen=True)
class Tracks:
    """One value a frame (10 ms), float32 [frames] unless said otherwise; NaN is not measured.

    power : mean square. weighted_power : K-weighted. speech_band_dbfs : level in the band of speech alone. level_dbfs :
    of power, FLOOR_DBFS at least. hop_level_dbfs : the same of the frame's own 10 ms, untapered: for edges. f0_hz,
    strength : of the pitch path, NaN where unvoiced. periodicity : the strongest candidate's strength, voiced or not, 0
    to 1. bands : [frames, 13], see `spectrum.Shape`.
    """

    rate: int
    power: Floats
    weighted_power: Floats
    speech_band_dbfs: Floats
    level_dbfs: Floats
    hop_level_dbfs: Floats
    f0_hz: Floats
    strength: Floats
    periodicity: Floats
    bands: Floats
    centroid_hz: Floats
    flux: Floats
    alpha_ratio_db: Floats
    hammarberg_db: Floats
    cpp_db: Floats

    def __len__(self) -> int:
        return len(self.power)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centre of each frame [s]."""
        centres: NDArray[np.float64] = (np.arange(len(self), dtype=np.float64) + np.float64(0.5)) * HOP_S
        return centres


def measure_tracks(sound: Sound, estimator: F0Estimator = "autocorrelation") -> Tracks:
    """The tracks of a sound. sound : at an analysis rate, without an offset. estimator : of the F0.

    Costs the same for a second of a long sound as of a short one: spectra live one block at a time.
    """
    count = frame_count(sound)
    names = ("power", "weighted_power", "speech_band_power", "centroid_hz", "flux")
    one = {name: np.empty(count, np.float32) for name in (*names, "alpha_ratio_db", "hammarberg_db", "cpp_db")}
    bands = np.empty((count, len(BAND_CENTRES_HZ)), np.float32)
    found: list[Candidates] = []
    before: Floats | None = None
    for where, power in power_spectra(sound):
        found.append(candidates(power, sound.rate))
        seen = shape(power, sound.rate)
        for name in one.keys() - {"flux"}:
            one[name][where] = getattr(seen, name)
        one["flux"][where] = flux(seen.magnitude, before)
        bands[where] = seen.bands
        before = seen.magnitude[-1]
    share = _share_inside(sound)
    for name in ("power", "weighted_power", "speech_band_power"):
        one[name] /= share
    all_found = Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    periodicity = all_found.strength.max(axis=1)
    if estimator == "autocorrelation":
        pitch = path(all_found, relative_peaks(sound))
    else:
        pitch = world_pitch(sound, estimator, periodicity)
    return Tracks(
        rate=sound.rate,
        level_dbfs=levels_dbfs(one["power"]),
        speech_band_dbfs=levels_dbfs(one.pop("speech_band_power")),
        hop_level_dbfs=levels_dbfs(_hop_power(sound)),
        f0_hz=pitch.f0_hz,
        strength=pitch.strength,
        periodicity=periodicity,
        bands=bands,
        **one,
    )


def levels_dbfs(power: Floats) -> Floats:
    """dB relative to full scale of mean squares, FLOOR_DBFS at least, never -inf."""
    floor = np.float32(10 ** (FLOOR_DBFS / 10))
    levels: Floats = 10 * np.log10(np.maximum(power, max(floor, TINY)))
    return levels


def _hop_power(sound: Sound) -> Floats:
    """Mean square of each frame's own 10 ms, float32 [frames]."""
    hop = grid(sound.rate).hop
    whole = sound.samples[: len(sound.samples) // hop * hop].reshape(-1, hop)
    if not len(whole):
        whole = sound.samples[None]
    power: Floats = np.einsum("ij,ij->i", whole, whole) / np.float32(whole.shape[1])
    return power


def _share_inside(sound: Sound) -> Floats:
    """The share of each frame's squared taper that lies inside the sound, float32 [frames], over 0."""
    cut = grid(sound.rate)
    begin = np.arange(frame_count(sound)) * cut.hop - (cut.window - cut.hop) // 2
    summed = np.concatenate(([0.0], np.cumsum(np.square(cut.taper, dtype=np.float64))))
    first = np.clip(-begin, 0, cut.window)
    last = np.clip(len(sound.samples) - begin, 0, cut.window)
    share: Floats = ((summed[last] - summed[first]) / summed[-1]).astype(np.float32)
    return np.maximum(share, np.float32(1e-3))
