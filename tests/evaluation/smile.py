"""openSMILE's eGeMAPSv02 as a second oracle, where a definition is the same, and as the peer in speed."""

from __future__ import annotations

import opensmile

from pipeline.audio.decode import Sound

SAME = {
    "f0_median_hz": "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    "hnr_db": "HNRdBACF_sma3nz_amean",
    "jitter_local": "jitterLocal_sma3nz_amean",
    "shimmer_local": "shimmerLocaldB_sma3nz_amean",
    "alpha_ratio_db": "alphaRatioV_sma3nz_amean",
    "hammarberg_db": "hammarbergIndexV_sma3nz_amean",
    "loudness_lufs": "loudness_sma3_amean",
    "syllable_rate": "loudnessPeaksPerSec",
}
"""Our features, and openSMILE's functional of the same thing; units and scales differ, so ranks are compared. Its alpha
ratio has the other sign: high over low."""


def extractor() -> opensmile.Smile:
    """One that can be used many times."""
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals, num_workers=1
    )


def functionals(smile: opensmile.Smile, sound: Sound) -> dict[str, float]:
    """The functionals of a sound by their names."""
    row = smile.process_signal(sound.samples, sound.rate).iloc[0]
    return {str(name): float(value) for name, value in row.items()}
