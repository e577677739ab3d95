"""What Pipecat itself says of who speaks when, as it says it: the negative control."""

from __future__ import annotations

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection

KINDS = (
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
)


class Marks(BaseObserver):
    """Notes each mark, both directions, in epoch seconds."""

    def __init__(self) -> None:
        super().__init__(observe_every_push=False)
        self.voice_started: list[VADUserStartedSpeakingFrame] = []
        self.voice_stopped: list[VADUserStoppedSpeakingFrame] = []
        self.seen: dict[tuple[type[Frame], FrameDirection], int] = {}

    async def on_push_frame(self, data: FramePushed) -> None:
        frame = data.frame
        if isinstance(frame, KINDS):
            key = (type(frame), data.direction)
            self.seen[key] = self.seen.get(key, 0) + 1
        if data.direction == FrameDirection.DOWNSTREAM:
            if isinstance(frame, VADUserStartedSpeakingFrame):
                self.voice_started.append(frame)
            elif isinstance(frame, VADUserStoppedSpeakingFrame):
                self.voice_stopped.append(frame)
