"""The acoustic features of a turn: this struct is the feature table.

Its names are the columns of `mise.turns`, the keys of `mise-voice features --json` and of the z-scores;
docs/features.md is made from it. `Meta.extra` holds, of each: `unit`, `group`, `source` (paper or standard), and `null`
(when it is not measured). None (NULL) is "not measured", never zero; no value is NaN or infinite.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal, get_args, get_type_hints

from msgspec import Meta, Struct

FinalContour = Literal["rise", "fall", "level"]
F0Estimator = Literal["autocorrelation", "dio", "harvest"]


def _meta(group: str, unit: str, source: str, null: str, description: str) -> Meta:
    unit_in = f" [{unit}]" if unit else ""
    return Meta(
        description=f"{description}{unit_in}",
        extra={"group": group, "unit": unit, "source": source, "null": null},
    )


NO_SPEECH = "no speech was found"
UNVOICED = "fewer than 5 voiced frames (50 ms)"
SILENT = "digital silence"


class Features(Struct, frozen=True, omit_defaults=True, gc=False):
    """One value for each feature of a turn; see the module's docstring."""

    duration_s: Annotated[
        float | None, _meta("time", "s", "samples", "never", "Length of the audio inside the turn")
    ] = None
    speech_s: Annotated[
        float | None, _meta("time", "s", "pipeline.audio.activity", "never", "Time in speech segments")
    ] = None
    speech_ratio: Annotated[
        float | None, _meta("time", "", "pipeline.audio.activity", "never", "speech_s / duration_s")
    ] = None
    leading_silence_s: Annotated[
        float | None,
        _meta("time", "s", "pipeline.audio.activity", NO_SPEECH, "From the turn's start to its first speech"),
    ] = None
    trailing_silence_s: Annotated[
        float | None,
        _meta("time", "s", "pipeline.audio.activity", NO_SPEECH, "From the turn's last speech to its end"),
    ] = None
    pause_count: Annotated[
        int | None,
        _meta("time", "", "Heldner & Edlund 2010", NO_SPEECH, "Silences of 200 ms or more between two speech segments"),
    ] = None
    pause_total_s: Annotated[
        float | None, _meta("time", "s", "Heldner & Edlund 2010", NO_SPEECH, "Sum of the pauses; 0 without any")
    ] = None
    pause_longest_s: Annotated[
        float | None, _meta("time", "s", "Heldner & Edlund 2010", "no pause", "The longest pause")
    ] = None
    pause_mean_s: Annotated[
        float | None, _meta("time", "s", "Heldner & Edlund 2010", "no pause", "pause_total_s / pause_count")
    ] = None
    hesitation_rate: Annotated[
        float | None,
        _meta(
            "time",
            "1/min",
            "Goldman-Eisler 1968; Goto, Itou & Hayamizu 1999",
            NO_SPEECH,
            "Pauses and held sounds (filled pauses: 300 ms or more voiced with pitch and spectrum at rest) per minute "
            "between the first and the last speech",
        ),
    ] = None

    level_dbfs: Annotated[
        float | None,
        _meta(
            "loudness",
            "dBFS",
            "RMS",
            SILENT,
            "RMS level over the whole turn, less an offset; square wave at full scale 0, sine -3.01",
        ),
    ] = None
    active_level_dbfs: Annotated[
        float | None,
        _meta(
            "loudness",
            "dBFS",
            "ITU-T P.56 method B",
            "digital silence, or no threshold lies 15.9 dB under the level",
            "Active speech level: RMS over the time in which the envelope is over a threshold 15.9 dB below that RMS, "
            "of what lies below 8 kHz (4 kHz of audio sampled at less than 16 kHz); turns shorter than its time "
            "constants (some 0.3 s) come out low",
        ),
    ] = None
    loudness_lufs: Annotated[
        float | None,
        _meta(
            "loudness",
            "LUFS",
            "ITU-R BS.1770-5",
            "shorter than one block of 400 ms, or all blocks under -70 LUFS",
            "Integrated loudness, K-weighted, gated; one channel, of what lies below 8 kHz (4 kHz of audio sampled at "
            "less than 16 kHz)",
        ),
    ] = None
    level_range_db: Annotated[
        float | None,
        _meta("loudness", "dB", "frames of 40 ms", NO_SPEECH, "Level of the speech frames, 90th minus 10th percentile"),
    ] = None
    level_slope_db_per_s: Annotated[
        float | None,
        _meta(
            "loudness",
            "dB/s",
            "least squares",
            "speech spans less than 0.5 s",
            "Slope of the level of the speech frames over the turn",
        ),
    ] = None
    peak_dbfs: Annotated[
        float | None, _meta("loudness", "dBFS", "samples", SILENT, "The greatest sample, either sign")
    ] = None
    clipped_ratio: Annotated[
        float | None,
        _meta(
            "loudness",
            "",
            "samples",
            SILENT,
            "Clipped samples / all samples: those in runs of 3 or more at full scale",
        ),
    ] = None
    noise_floor_dbfs: Annotated[
        float | None,
        _meta(
            "loudness",
            "dBFS",
            "frames without speech",
            "fewer than 10 frames (100 ms) that are neither speech nor digital silence",
            "Level of what is not speech: power mean over the frames more than 50 ms from any speech",
        ),
    ] = None
    snr_db: Annotated[
        float | None,
        _meta(
            "loudness",
            "dB",
            "power of speech over power of noise",
            "as noise_floor_dbfs, or no speech, or speech not over the noise",
            "Signal to noise: power in the speech segments less the noise's, over the noise's",
        ),
    ] = None

    f0_mean_hz: Annotated[
        float | None, _meta("pitch", "Hz", "pipeline.dsp.pitch", UNVOICED, "Mean F0 of the voiced frames")
    ] = None
    f0_median_hz: Annotated[
        float | None, _meta("pitch", "Hz", "pipeline.dsp.pitch", UNVOICED, "Median F0 of the voiced frames")
    ] = None
    f0_sd_hz: Annotated[
        float | None, _meta("pitch", "Hz", "pipeline.dsp.pitch", UNVOICED, "Standard deviation of the F0")
    ] = None
    f0_p5_hz: Annotated[
        float | None, _meta("pitch", "Hz", "pipeline.dsp.pitch", UNVOICED, "5th percentile of the F0")
    ] = None
    f0_p95_hz: Annotated[
        float | None, _meta("pitch", "Hz", "pipeline.dsp.pitch", UNVOICED, "95th percentile of the F0")
    ] = None
    f0_range_st: Annotated[
        float | None, _meta("pitch", "semitones", "pipeline.dsp.pitch", UNVOICED, "From f0_p5_hz to f0_p95_hz")
    ] = None
    f0_slope_st_per_s: Annotated[
        float | None,
        _meta(
            "pitch",
            "semitones/s",
            "Theil 1950, Sen 1968",
            "the voiced frames span less than 0.5 s",
            "Slope of the F0 over the turn, by the median of slopes",
        ),
    ] = None
    f0_final_st: Annotated[
        float | None,
        _meta(
            "pitch",
            "semitones",
            "least squares",
            "fewer than 8 voiced frames in the last 500 ms of speech, or in the 300 ms measured, octave jumps left out",
            "Change of the F0 along the last 300 ms that are voiced",
        ),
    ] = None
    final_contour: Annotated[
        FinalContour | None,
        _meta(
            "pitch",
            "",
            "f0_final_st; 't Hart 1981",
            "as f0_final_st",
            "rise or fall from 1.5 semitones on, else level",
        ),
    ] = None
    voiced_fraction: Annotated[
        float | None,
        _meta("pitch", "", "pipeline.dsp.pitch", NO_SPEECH, "Voiced frames / frames in speech segments"),
    ] = None

    jitter_local: Annotated[
        float | None,
        _meta(
            "voice",
            "",
            "Praat's jitter (local)",
            "fewer than 10 pairs of neighbouring periods",
            "Mean difference of neighbouring periods / mean period",
        ),
    ] = None
    shimmer_local: Annotated[
        float | None,
        _meta(
            "voice",
            "",
            "Praat's shimmer (local)",
            "fewer than 10 pairs of neighbouring periods",
            "Mean difference of the amplitudes of neighbouring periods / mean amplitude",
        ),
    ] = None
    hnr_db: Annotated[
        float | None,
        _meta("voice", "dB", "Boersma 1993", UNVOICED, "Harmonics to noise: mean over the voiced frames"),
    ] = None
    cpp_db: Annotated[
        float | None,
        _meta(
            "voice",
            "dB",
            "Hillenbrand, Cleveland & Erickson 1994",
            UNVOICED,
            "Cepstral peak prominence: peak of the cepstrum (60-500 Hz) over its trend, mean over the voiced frames, "
            "below 4 kHz",
        ),
    ] = None
    spectral_tilt_db_per_octave: Annotated[
        float | None,
        _meta(
            "voice",
            "dB/octave",
            "least squares",
            UNVOICED,
            "Slope of the mean spectrum of the voiced frames in third octaves, 200 Hz to 3.15 kHz",
        ),
    ] = None
    alpha_ratio_db: Annotated[
        float | None,
        _meta(
            "voice",
            "dB",
            "Patel et al. 2010; eGeMAPS (Eyben et al. 2016)",
            UNVOICED,
            "Energy at 50 Hz-1 kHz over energy at 1-5 kHz (to 4 kHz when the audio ends there), mean over the voiced "
            "frames",
        ),
    ] = None
    hammarberg_db: Annotated[
        float | None,
        _meta(
            "voice",
            "dB",
            "Hammarberg et al. 1980; eGeMAPS (Eyben et al. 2016)",
            UNVOICED,
            "Strongest peak below 2 kHz over strongest peak at 2-5 kHz (to 4 kHz when the audio ends there), mean over "
            "the voiced frames",
        ),
    ] = None
    spectral_centroid_hz: Annotated[
        float | None,
        _meta(
            "voice", "Hz", "power spectrum", NO_SPEECH, "Centre of gravity of the spectrum, mean over the speech frames"
        ),
    ] = None
    spectral_flux: Annotated[
        float | None,
        _meta(
            "voice",
            "",
            "Scheirer & Slaney 1997",
            NO_SPEECH,
            "Distance of neighbouring frames' normalised magnitude spectra, mean over the speech frames",
        ),
    ] = None

    syllable_count: Annotated[
        int | None,
        _meta("rhythm", "", "de Jong & Wempe 2009", NO_SPEECH, "Syllable nuclei: voiced peaks of intensity"),
    ] = None
    syllable_rate: Annotated[
        float | None, _meta("rhythm", "1/s", "de Jong & Wempe 2009", NO_SPEECH, "syllable_count / duration_s")
    ] = None
    articulation_rate: Annotated[
        float | None, _meta("rhythm", "1/s", "de Jong & Wempe 2009", NO_SPEECH, "syllable_count / speech_s")
    ] = None
    words_per_minute: Annotated[
        float | None,
        _meta(
            "rhythm",
            "1/min",
            "the turn's words, else its text",
            "no words are known, as in a script without spaces; the audio is over 200 ms shorter than the turn; or no "
            "speech was found",
            "Words / time from the first to the last speech",
        ),
    ] = None
    rate_variation: Annotated[
        float | None,
        _meta(
            "rhythm",
            "",
            "coefficient of variation",
            "fewer than 4 intervals between syllables without a pause between them",
            "Standard deviation / mean of the intervals between neighbouring syllable nuclei",
        ),
    ] = None
    emphasis_count: Annotated[
        int | None,
        _meta(
            "rhythm",
            "",
            "Terken 1991; Streefkerk 2002",
            "fewer than 4 syllables",
            "Prominent syllables: loudness and F0 together more than 1.5 robust standard deviations over the median of "
            "the turn's syllables",
        ),
    ] = None


@cache
def numeric_features() -> tuple[str, ...]:
    """Names of the features that are numbers, in the table's order: those that have z-scores."""
    hints = get_type_hints(Features)
    return tuple(name for name in Features.__struct_fields__ if set(get_args(hints[name])) & {int, float})
