"""What of the agent's speech was heard, and when: pieces of captured audio and the runs in which they were played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mise_observer.recording import MOST_BYTES, Pcm, Samples

GAP_S = 0.02
"""Runs that are less apart follow one another: their times are estimates of a few ms."""


@dataclass(frozen=True, slots=True)
class Run:
    """Audio that was played without a break. offset_s : where in the segment it begins."""

    started_at: float
    offset_s: float
    duration_s: float


@dataclass(slots=True, eq=False)
class Segment:
    """One piece of speech on its way to the listener: captured faster than it is heard.

    captured_at : when its first sample was. whole : whether there was room for all of it.
    speech_id : of the speech handle that said it.
    transcript : what of its text was heard; None when nobody knows.
    """

    sample_rate: int
    captured_at: float
    speech_id: str | None = None
    pieces: list[Samples] = field(default_factory=list)
    samples: int = 0
    whole: bool = True
    captured: bool = False
    runs: list[Run] = field(default_factory=list)
    playing_since: float | None = None
    finished: bool = False
    interrupted: bool = False
    transcript: str | None = None

    def add(self, samples: Samples) -> None:
        """Keep them, unless there is as much as a turn may have."""
        self.whole = self.whole and 2 * (self.samples + len(samples)) <= MOST_BYTES
        if self.whole:
            self.pieces.append(samples)
            self.samples += len(samples)

    def finish(self, position_s: float, interrupted: bool, transcript: str | None) -> None:
        """position_s : how much was heard; it counts where the output reports no runs."""
        self.finished = True
        self.interrupted = interrupted
        self.transcript = transcript
        if not self.runs and position_s > 0:
            since = self.captured_at if self.playing_since is None else self.playing_since
            self.runs.append(Run(since, 0.0, position_s))


class Playback:
    """The segments of a session, oldest first; they leave when somebody takes them."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []

    def capture(self, samples: Samples, sample_rate: int, at: float, speech_id: str | None) -> None:
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.captured or segment.sample_rate != sample_rate:
            segment = Segment(sample_rate, at, speech_id)
            self._segments.append(segment)
        segment.add(samples)

    def end_capture(self) -> None:
        if self._segments:
            self._segments[-1].captured = True

    def started(self, at: float) -> None:
        playing = self._playing()
        if playing is not None and playing.playing_since is None:
            playing.playing_since = at

    def progressed(self, run: Run) -> None:
        playing = self._playing()
        if playing is not None:
            playing.runs.append(run)

    def finished(self, position_s: float, interrupted: bool, transcript: str | None) -> None:
        playing = self._playing()
        if playing is not None:
            playing.finish(position_s, interrupted, transcript)

    def take(self, speech_id: str | None = None) -> list[Segment]:
        """Take what was heard to the end, or cut; of one speech, or of all."""
        taken = [one for one in self._segments if one.finished and speech_id in (None, one.speech_id)]
        self._segments = [one for one in self._segments if one not in taken]
        return taken

    def take_all(self, at: float) -> list[Segment]:
        """Take everything: nothing more will be reported. at : until then what was playing was heard."""
        taken, self._segments = self._segments, []
        for segment in taken:
            if not segment.finished and segment.playing_since is not None:
                segment.finish(min(at - segment.playing_since, segment.samples / segment.sample_rate), True, None)
        return taken

    def _playing(self) -> Segment | None:
        return next((one for one in self._segments if not one.finished), None)


def heard_span(segments: Sequence[Segment]) -> tuple[float, float] | None:
    """When the first run began and the last ended; None when nothing was heard."""
    runs = [run for segment in segments for run in segment.runs]
    if not runs:
        return None
    return min(run.started_at for run in runs), max(run.started_at + run.duration_s for run in runs)


def heard(segments: Sequence[Segment]) -> Pcm | None:
    """The audio as it was heard, with the pauses between the runs; None when nothing was, or nothing was kept.

    Of more than `MOST_BYTES` the beginning.

    # captured  |aaaaaaaa|bbbbbbbb|ccccc        the rest was cut
    # heard     |aaaaaaaa|....|bbbbbbbb|cc|     a pause (underrun, false interruption), and an interruption
    """
    span = heard_span(segments)
    if span is None:
        return None
    start, rate = span[0], segments[0].sample_rate
    pieces: list[Samples] = []
    length, most, whole = 0, MOST_BYTES // 2, True
    for segment in segments:
        if segment.sample_rate != rate or not segment.pieces:
            continue
        captured = np.concatenate(segment.pieces)
        for run in segment.runs:
            first, after = round(run.offset_s * rate), round((run.offset_s + run.duration_s) * rate)
            played = captured[first:after]
            whole = whole and (segment.whole or after <= len(captured))
            pause = round((run.started_at - start) * rate) - length
            if not 0 <= length + pause <= most:
                whole = False
                break
            if pause >= GAP_S * rate:
                pieces.append(np.zeros(pause, np.int16))
                length += pause
            pieces.append(played)
            length += len(played)
    if not length:
        return None
    return Pcm(np.concatenate(pieces)[:most], rate, start, whole and length <= most)
