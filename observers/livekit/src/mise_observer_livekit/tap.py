"""Where the agent's audio passes on its way to the listener, and the user's where there is no room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from livekit import rtc
from livekit.agents.voice import io

from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.recording import Recording, Samples, mono
from mise_observer_livekit.playback import Playback, Run

MOST_HZ = 24_000
"""More is no use for speech and would double what is sent."""

NOTHING: Samples = np.zeros(0, np.int16)


class InputTap(io.AudioInput):
    """Behind the input of a session without a room: notes what the user says."""

    def __init__(self, source: io.AudioInput, clock: Clock, guard: Guard) -> None:
        super().__init__(label="MiseObserver", source=source)
        self.recording = Recording(MOST_HZ)
        self._clock = clock
        self._note_frame = guard(self._note)
        self._resampler: rtc.AudioResampler | None = None
        self._over = False

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await super().__anext__()
        if not self._over:
            self._note_frame(frame)
        return frame

    def delay_s(self, _: float) -> float | None:
        """No buffer, no network."""
        return 0.0

    @property
    def over(self) -> bool:
        return self._over

    async def close(self) -> None:
        """Note nothing more; it stays where it is in the session's input."""
        self._over = True

    def _note(self, frame: rtc.AudioFrame) -> None:
        now = self._clock.now()
        if frame.sample_rate > MOST_HZ:
            if self._resampler is None:
                self._resampler = rtc.AudioResampler(frame.sample_rate, MOST_HZ)
            for resampled in self._resampler.push(bytearray(samples_of(frame).tobytes())):
                self.recording.append(samples_of(resampled), now)
            return
        if self.recording.sample_rate != frame.sample_rate:
            self.recording = Recording(frame.sample_rate)
        self.recording.append(samples_of(frame), now)


class Tap(io.AudioOutput):
    """In front of all other outputs of the session: notes what passes, and when it was heard.

    speech_id : of the speech that is being said. keep : the samples, not only the times.
    """

    def __init__(
        self,
        output: io.AudioOutput,
        playback: Playback,
        clock: Clock,
        guard: Guard,
        speech_id: Callable[[], str | None],
        *,
        keep: bool,
    ) -> None:
        super().__init__(
            label="MiseObserver",
            next_in_chain=output,
            sample_rate=output.sample_rate,
            capabilities=io.AudioOutputCapabilities(pause=True),
        )
        assert self.next_in_chain is not None  # noqa: S101  # it was given; a bare one has been wrapped
        self._output = self.next_in_chain
        self._playback = playback
        self._clock = clock
        self._speech_id = speech_id
        self._keep = keep
        self._note_frame = guard(self._capture)
        self._note_flush = guard(self._end_capture)
        self._resampler: rtc.AudioResampler | None = None
        # Not by overriding on_playback_finished: newer versions report a cancelled capture without calling it.
        self.on("playback_started", guard(self._started))
        self.on("playback_progressed", guard(self._progressed))
        self.on("playback_finished", guard(self._finished))

    @property
    def sample_rate(self) -> int | None:
        return self._output.sample_rate

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        offered_at = self._clock.now()
        # The output first: it may be cancelled before it takes the frame, and then nobody may count it.
        await self._output.capture_frame(frame)
        await super().capture_frame(frame)
        self._note_frame(frame, offered_at)

    def flush(self) -> None:
        super().flush()
        self._note_flush()
        self._output.flush()

    def clear_buffer(self) -> None:
        self._output.clear_buffer()

    def _capture(self, frame: rtc.AudioFrame, offered_at: float) -> None:
        offered_s = frame.samples_per_channel / frame.sample_rate
        if not self._keep:
            self._note(frame.sample_rate, NOTHING, offered_at, offered_s)
        elif frame.sample_rate <= MOST_HZ:
            self._note(frame.sample_rate, samples_of(frame), offered_at, offered_s)
        else:
            if self._resampler is None:
                self._resampler = rtc.AudioResampler(frame.sample_rate, MOST_HZ)
            resampled = self._resampler.push(bytearray(samples_of(frame).tobytes()))
            # Nothing may have come out of it yet, but it has begun.
            self._note(MOST_HZ, np.concatenate([NOTHING, *map(samples_of, resampled)]), offered_at, offered_s)

    def _end_capture(self) -> None:
        if self._resampler is not None:
            for rest in self._resampler.flush():
                self._note(MOST_HZ, samples_of(rest), self._clock.now(), 0.0)  # it was offered with its frame
            self._resampler = None
        self._playback.end_capture()

    def _note(self, sample_rate: int, samples: Samples, offered_at: float, offered_s: float) -> None:
        self._playback.capture(samples, sample_rate, offered_at, self._speech_id(), offered_s)

    def _started(self, event: io.PlaybackStartedEvent) -> None:
        self._playback.started(self._clock.of_wall(event.created_at))

    def _progressed(self, event: io.PlaybackProgressedEvent) -> None:
        run = Run(self._clock.of_wall(event.started_at), event.offset, event.duration)
        self._playback.progressed(run, self._clock.now())

    def _finished(self, event: io.PlaybackFinishedEvent) -> None:
        self._playback.finished(
            event.playback_position, event.interrupted, event.synchronized_transcript, self._clock.now()
        )


def samples_of(frame: rtc.AudioFrame) -> Samples:
    """A copy of the frame's samples, its channels as one."""
    return mono(bytes(frame.data), frame.num_channels)


def is_in(tap: Tap, output: io.AudioOutput | None) -> bool:
    """Whether the tap is still in the chain that begins with `output`."""
    while output is not None:
        if output is tap:
            return True
        output = output.next_in_chain
    return False
