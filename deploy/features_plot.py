"""One picture of a measured file: waveform, F0 and level over one time axis, speech shaded. Needs the extra `plot`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.features_of_files import MeasuredFile
from deploy.plain import plain
from pipeline.audio.activity import SOUNDING_DBFS, inside
from pipeline.audio.decode import Floats
from schemas.errors import Misconfigured
from schemas.features import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

SIZE_INCHES = (12.0, 8.0)
DPI = 100
"""1200x800 pixels."""

COLUMNS = 1_200
"""Of the waveform's envelope, about one a pixel: an hour is drawn as fast as a second."""

CROWDED_FRAMES = 6_000
"""More (a minute) are over five a pixel: their lines would run into an area."""

# Okabe & Ito 2008: told apart with any colour vision. The lightest one lies behind the others.
SPEECH = "#56B4E9"
SHADE = 0.25
WAVE = "#3A3A3A"
PITCH = "#0072B2"
LEVEL = "#B34E00"  # their vermilion, darker: a thin line of it is still seen on the shade
MUTED = "#5F5F5F"

OCTAVE = 2.0
"""The F0 axis spans this at least: on less, the jitter of a steady voice would look like melody."""

TICKS_HZ = (50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800)
UNVOICED_HZ = (75.0, 500.0)
"""The F0 axis where there is no voice: all that is looked for."""

BESIDE = 1.01
"""Just right of the axes, in their widths: a text there covers no data."""

LONGEST_NAME = 70
"""Characters of a file's name that fit above the picture."""


def require_matplotlib() -> None:
    """Raises Misconfigured where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise Misconfigured("--plot needs matplotlib: pip install 'mise-voice[plot]'") from None


def png(measured: MeasuredFile) -> bytes:
    """The picture of a file, as a PNG of 1200x800."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Without pyplot: no window system, no state shared with who else draws in this process.
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    wave, pitch, level = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 2))
    _draw_wave(wave, measured)
    _draw_pitch(pitch, measured)
    _draw_level(level, measured)
    for axes in (wave, pitch, level):
        _shade_speech(axes, measured)
        axes.grid(visible=True, color="#D5D5D5", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    level.set_xlim(0, measured.sound.duration_ms / 1000)
    level.set_xlabel("time [s]")
    # parse_math: a name with two dollar signs is no formula.
    figure.suptitle(f"{_title(measured.name)}\n{_key_numbers(measured.found.features)}", fontsize=13, parse_math=False)
    file = BytesIO()
    FigureCanvasAgg(figure).print_figure(file, dpi=DPI, format="png", facecolor="white", bbox_inches=None)
    return file.getvalue()


def envelope(samples: Floats, columns: int) -> tuple[NDArray[np.intp], Floats, Floats]:
    """The least and the greatest sample of each of so many stretches, and where each begins.

    samples : [n], n > 0. With fewer samples than columns a stretch is one sample.
    """
    starts = np.unique(np.linspace(0, len(samples), columns, endpoint=False).astype(np.intp))
    return starts, np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)


def _draw_wave(axes: Axes, measured: MeasuredFile) -> None:
    sound, segments = measured.sound, measured.found.segments
    starts, least, greatest = envelope(sound.samples, COLUMNS)
    if len(starts) == len(sound.samples):
        axes.plot(starts / sound.rate, sound.samples, color=WAVE, linewidth=1)
    else:
        axes.fill_between(starts / sound.rate, least, greatest, color=WAVE, linewidth=0.6)
    peak = float(np.abs(sound.samples).max()) or 1.0
    axes.set_ylim(-1.1 * peak, 1.1 * peak)
    axes.set_ylabel("waveform")
    if segments:
        named = _note(axes, f"{len(segments)} segment{'s' * (len(segments) != 1)}\nof speech", color=WAVE)
        named.set_bbox({"facecolor": SPEECH, "alpha": SHADE, "linewidth": 0, "pad": 3})
    else:
        _note(axes, "no speech")


def _draw_pitch(axes: Axes, measured: MeasuredFile) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter  # noqa: PLC0415

    tracks, median_hz = measured.found.tracks, measured.found.features.f0_median_hz
    axes.set_yscale("log")
    axes.set_ylabel("F0 [Hz]")
    # The features are of the F0 in speech; what is periodic elsewhere, such as a hum, is there but paler.
    speech = inside(measured.found.segments, len(tracks))
    axes.plot(tracks.times_s, np.where(speech, np.nan, tracks.f0_hz), ".", color=MUTED, markersize=3)
    inside_hz = np.where(speech, tracks.f0_hz, np.nan)
    if len(tracks) > CROWDED_FRAMES:
        # Of several frames a pixel: where the dots are many, it is dark.
        faint = (CROWDED_FRAMES / len(tracks)) ** 0.5
        axes.plot(tracks.times_s, inside_hz, ".", color=PITCH, markersize=3, markeredgewidth=0, alpha=faint)
    else:
        # Dots and lines: a line has gaps where it is unvoiced, and there is none where one frame alone is voiced.
        axes.plot(tracks.times_s, inside_hz, ".-", color=PITCH, markersize=4, linewidth=1.4)
    low_hz, high_hz = _pitch_range(tracks.f0_hz)
    axes.set_ylim(low_hz, high_hz)
    axes.yaxis.set_major_locator(FixedLocator([hz for hz in TICKS_HZ if low_hz <= hz <= high_hz]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if median_hz is None:
        _note(axes, "median:\nnot measured")
    else:
        _line(axes, median_hz, f"median\n{median_hz:.0f} Hz", PITCH)


def _pitch_range(f0_hz: Floats) -> tuple[float, float]:
    """Limits of the F0 axis: what is voiced, and an octave at least."""
    voiced = f0_hz[np.isfinite(f0_hz)]
    if not len(voiced):
        return UNVOICED_HZ
    low_hz, high_hz = float(voiced.min()) / 1.1, float(voiced.max()) * 1.1
    wider = max(1.0, OCTAVE * low_hz / high_hz) ** 0.5
    return low_hz / wider, high_hz * wider


def _draw_level(axes: Axes, measured: MeasuredFile) -> None:
    tracks, floor_dbfs = measured.found.tracks, measured.found.features.noise_floor_dbfs
    axes.set_ylabel("level [dBFS]")
    # Of a sound shorter than half a frame the frame's middle comes after the end.
    times_s = np.minimum(tracks.times_s, measured.sound.duration_ms / 1000)
    if len(tracks) > CROWDED_FRAMES:
        starts, least, greatest = envelope(tracks.level_dbfs, COLUMNS)
        axes.fill_between(times_s[starts], least, greatest, color=LEVEL, alpha=0.35, linewidth=0)
        axes.plot(times_s[starts], greatest, color=LEVEL, linewidth=1)
    else:
        alone = len(tracks) == 1
        axes.plot(times_s, tracks.level_dbfs, "o" if alone else "-", color=LEVEL, linewidth=1.4, clip_on=not alone)
    sounding = tracks.level_dbfs[tracks.level_dbfs > SOUNDING_DBFS]
    if not len(sounding):
        axes.set_ylim(SOUNDING_DBFS, 0)
        _note(axes, "silence")
        return
    # Silent frames leave the picture below: shown whole, they would flatten the rest.
    lowest = float(sounding.min()) if floor_dbfs is None else min(float(sounding.min()), floor_dbfs)
    axes.set_ylim(lowest - 6, float(sounding.max()) + 6)
    if floor_dbfs is None:
        _note(axes, "noise floor:\nnot measured")
    else:
        _line(axes, floor_dbfs, f"noise floor\n{_decibels(floor_dbfs)} dBFS", WAVE)


def _shade_speech(axes: Axes, measured: MeasuredFile) -> None:
    spans = [
        (segment.start_ms / 1000, (segment.end_ms - segment.start_ms) / 1000) for segment in measured.found.segments
    ]
    # One collection, not a patch each: an hour has thousands.
    axes.broken_barh(
        spans, (0, 1), transform=axes.get_xaxis_transform(), color=SPEECH, alpha=SHADE, linewidth=0, zorder=0
    )


def _line(axes: Axes, y: float, text: str, color: str) -> None:
    """A level line over the whole picture, named beside it."""
    axes.axhline(y, color=color, linewidth=1.2, linestyle="--")
    axes.text(BESIDE, y, text, transform=axes.get_yaxis_transform(), color=color, va="center")


def _note(axes: Axes, text: str, *, color: str = MUTED) -> Text:
    """A remark beside the picture."""
    return axes.text(BESIDE, 0.5, text, transform=axes.transAxes, color=color, va="center")


def _title(name: str) -> str:
    # Without its folders: a picture gets passed on.
    short = plain(Path(name).name).plain
    half = LONGEST_NAME // 2
    return short if len(short) <= LONGEST_NAME else f"{short[:half]}…{short[-half:]}"


def _key_numbers(features: Features) -> str:
    duration_s, ratio, median_hz = features.duration_s, features.speech_ratio, features.f0_median_hz
    numbers = (
        None if duration_s is None else f"{duration_s:.2f} s" if duration_s >= 1 else f"{1000 * duration_s:.0f} ms",
        f"{100 * ratio:.0f} % speech" if ratio else "no speech",
        None if median_hz is None else f"F0 median {median_hz:.0f} Hz",
        "silence" if features.level_dbfs is None else f"level {_decibels(features.level_dbfs)} dBFS",
    )
    return "   ·   ".join(number for number in numbers if number is not None)


def _decibels(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")
