"""What the observer costs: frames of a call, one after another, with nothing else of it.

    cd observers/pipecat && .venv-newest/bin/python -m pytest tests/cost.py --capture=no

Prints the figures of docs/integrations/pipecat.md; asserts only what no machine should miss.
"""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from bed import FRAME, RATE, Loudspeaker, Microphone, World, clip
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams

from mise_observer import Sender
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.switches import Switches
from mise_observer_pipecat.delivery import Delivery
from mise_observer_pipecat.watch import Watch

FRAMES_A_SECOND = RATE // FRAME


class Line:
    """Frames as a pipeline pushes them, on a clock of its own; and the CPU seconds that each one took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1.0
        self.took: list[float] = []
        notices, clock = Notices(), Clock(monotonic=lambda: self.now)
        sender = Sender("http://127.0.0.1", "mv_key")
        self._watch = Watch(Delivery(Outbox(sender, notices), "a-call", clock, Switches(), notices), clock, notices)
        self.microphone = Microphone(World(), TransportParams())
        self.loudspeaker = Loudspeaker(World(), TransportParams())
        monkeypatch.setattr(FrameProcessor, "get_clock", lambda _: self)

    def get_time(self) -> int:
        """Nanoseconds, as of a `BaseClock`."""
        return round(self.now * 1e9)

    def push(self, source: FrameProcessor, frame: Frame) -> None:
        data = FramePushed(source, source, frame, FrameDirection.DOWNSTREAM, self.get_time())
        before = time.thread_time()
        self._watch.observe(data)
        self.took.append(time.thread_time() - before)

    def talk(self, seconds: int) -> None:
        """The user speaks so long, then the agent."""
        speech = np.tile(clip(2).samples, 1 + seconds * RATE // len(clip(2).samples))
        for speaking in ("user", "agent"):
            for number in range(seconds * FRAMES_A_SECOND):
                self.now += FRAME / RATE
                part = speech[number * FRAME :][:FRAME].tobytes()
                self.push(self.microphone, InputAudioRawFrame(part, RATE, 1))
                self.push(self.loudspeaker, TTSAudioRawFrame(part, RATE, 1))
                if speaking == "user" and number == FRAMES_A_SECOND // 3:
                    self.push(self.microphone, VADUserStartedSpeakingFrame(start_secs=0.2))
                    self.push(self.microphone, UserStartedSpeakingFrame())
            if speaking == "user":
                self.push(self.microphone, VADUserStoppedSpeakingFrame(stop_secs=0.2))
                self.push(self.microphone, TranscriptionFrame("Hello there.", "somebody", ""))
                self.push(self.microphone, UserStoppedSpeakingFrame())
                self.push(self.loudspeaker, BotStartedSpeakingFrame())
            else:
                self.push(self.loudspeaker, BotStoppedSpeakingFrame())


@pytest.mark.parametrize(("seconds", "times"), [(3, 20), (10, 10), (25, 5), (240, 1)])
def test_cost(monkeypatch: pytest.MonkeyPatch, seconds: int, times: int) -> None:
    line = Line(monkeypatch)
    line.talk(1)  # what is done but once
    line.took.clear()
    began = line.now
    gc.disable()  # a collection takes as long as there are objects of the host's
    try:
        for _ in range(times):
            line.talk(seconds)
    finally:
        gc.enable()
    usual, worst = sum(line.took) / len(line.took), max(line.took)
    core = sum(line.took) / (line.now - began)
    print(f"\nturns of {seconds} s: {usual * 1e6:.1f} µs a frame, {core:.3%} of a core, at most {worst * 1e3:.1f} ms")
    assert core < 0.01
