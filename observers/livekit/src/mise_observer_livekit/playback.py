"""What of the agent's speech was heard, and when: pieces of captured audio and the runs in which they were played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mise_observer.recording import MOST_BYTES, Pcm, Samples

GAP_S = 0.02
"""Runs that are less apart follow one another: their times are estimates of a few ms."""

STEP_S = 0.1
"""A stamp that is further from what can be is of before the wall clock was set: ntpd steps it by 128 ms at least."""

KEPT_BYTES = 2 * MOST_BYTES
"""Of the samples that wait to be heard and taken, all pieces together."""


@dataclass(frozen=True, slots=True)
class Run:
    """Audio that was played without a break. offset_s : where in the segment it begins."""

    started_at: float
    offset_s: float
    duration_s: float


@dataclass(slots=True, eq=False)
class Segment:
    """One piece of speech on its way to the listener: captured faster than it is heard.

    captured_at : when its first sample was offered to the output; before that nobody heard it.
    offered_s : how long it is. samples : how many of it are kept.
    whole : whether there was room for all of it. speech_id : of the speech handle that said it.
    transcript : what of its text was heard; None when nobody knows.
    """

    sample_rate: int
    captured_at: float
    speech_id: str | None = None
    pieces: list[Samples] = field(default_factory=list)
    samples: int = 0
    offered_s: float = 0.0
    whole: bool = True
    captured: bool = False
    runs: list[Run] = field(default_factory=list)
    playing_since: float | None = None
    finished: bool = False
    interrupted: bool = False
    transcript: str | None = None

    @property
    def nbytes(self) -> int:
        return 2 * self.samples

    @property
    def began(self) -> bool:
        """Whether any of it was heard."""
        return bool(self.runs) or self.playing_since is not None

    def add(self, samples: Samples, room_bytes: int) -> None:
        """Keep them, unless there is as much as a turn may have, or no room."""
        self.whole = self.whole and samples.nbytes <= min(room_bytes, MOST_BYTES - self.nbytes)
        if self.whole:
            self.pieces.append(samples)
            self.samples += len(samples)


class Playback:
    """The segments of a session, oldest first; they leave when somebody takes them, or their speech is over.

    Whatever is told here is told when it happens, `at` on the call's clock. Stamps of the wall clock, which may have
    been set in between, count as far as they agree with that.
    """

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._began: float | None = None  # of playing that is told before its first sample has been captured
        self._heard_to = float("-inf")
        self._over = False

    @property
    def nbytes(self) -> int:
        """Of the samples that wait here."""
        return sum(segment.nbytes for segment in self._segments)

    def capture(
        self, samples: Samples, sample_rate: int, at: float, speech_id: str | None, offered_s: float | None = None
    ) -> None:
        """at : when they were offered to the output. offered_s : how much was, unless it is what the samples are."""
        if self._over:
            return
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.captured or segment.sample_rate != sample_rate:
            segment = Segment(sample_rate, at, speech_id)
            if self._began is not None and self._began >= at - GAP_S:
                segment.playing_since = self._began
            self._segments.append(segment)
        self._began = None
        segment.offered_s += len(samples) / sample_rate if offered_s is None else offered_s
        segment.add(samples, KEPT_BYTES - self.nbytes)

    def end_capture(self) -> None:
        if self._segments:
            self._segments[-1].captured = True

    def started(self, at: float) -> None:
        """Outputs that stream to somewhere else tell it while they take the first sample."""
        playing = self._playing()
        if playing is None:
            self._began = at
        elif playing.playing_since is None:
            playing.playing_since = at

    def progressed(self, run: Run, at: float) -> None:
        playing = self._playing()
        if playing is not None:
            self._play(playing, run.started_at, run.offset_s, run.duration_s, at)

    def finished(self, position_s: float, interrupted: bool, transcript: str | None, at: float) -> None:
        """position_s : how much was heard; it counts where the output reports no runs."""
        playing = self._playing()
        if playing is not None:
            if not playing.runs and position_s > 0:
                since = at - position_s if playing.playing_since is None else playing.playing_since
                self._play(playing, since, 0.0, position_s, at)
            playing.finished, playing.interrupted, playing.transcript = True, interrupted, transcript

    def take(self, speech_id: str | None = None) -> list[Segment]:
        """Take what was heard to the end, or cut; of one speech, or of all."""
        taken = [one for one in self._segments if one.finished and speech_id in (None, one.speech_id)]
        self._segments = [one for one in self._segments if one not in taken]
        return taken

    def end(self, speech_id: str, at: float) -> list[Segment]:
        """Take what is left of a speech that is over: of it and of what came before it nothing more is reported."""
        last = max((n for n, one in enumerate(self._segments) if one.speech_id == speech_id), default=-1)
        return self._take_first(last + 1, at)

    def end_all(self, at: float) -> list[Segment]:
        """Take everything, and nothing that comes after it. at : until then what was playing was heard."""
        self._over = True
        return self._take_first(len(self._segments), at)

    def _take_first(self, count: int, at: float) -> list[Segment]:
        taken, self._segments = self._segments[:count], self._segments[count:]
        for segment in taken:
            since = segment.playing_since
            if not segment.finished and segment.began:
                if not segment.runs and since is not None:
                    self._play(segment, since, 0.0, min(at - since, segment.offered_s), at)
                segment.finished = segment.interrupted = True
        return [segment for segment in taken if segment.finished]

    def _playing(self) -> Segment | None:
        return next((one for one in self._segments if not one.finished), None)

    def _play(self, segment: Segment, started_at: float, offset_s: float, duration_s: float, at: float) -> None:
        """Note a run that is reported at `at`, when it is over, and that follows what was heard before."""
        known = segment.captured_at if segment.runs or segment.playing_since is None else segment.playing_since
        earliest = max(known, self._heard_to)
        latest = max(at - duration_s, earliest)
        believable = earliest - STEP_S <= started_at <= latest + STEP_S
        begun = max(started_at, earliest) if believable else latest
        segment.runs.append(Run(begun, offset_s, duration_s))
        self._heard_to = begun + duration_s


@dataclass(frozen=True, slots=True)
class Played:
    """What was heard of segments that nobody else has any more; put together when it is asked for."""

    segments: Sequence[Segment]

    @property
    def nbytes(self) -> int:
        return sum(segment.nbytes for segment in self.segments)

    def pcm(self) -> Pcm | None:
        return heard(self.segments)


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
