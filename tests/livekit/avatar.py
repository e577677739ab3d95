"""An avatar, of which only the voice is there: says as a participant of its own what an agent sends it.

    LIVEKIT_URL=… LIVEKIT_TOKEN=… python -m tests.livekit.avatar IDENTITY_OF_THE_AGENT

LiveKit's own runner and data streams, as the workers of avatar services use them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator

from livekit import rtc
from livekit.agents.voice.avatar import (
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    DataStreamAudioReceiver,
    VideoGenerator,
)

from tests.livekit.scripted import VOICE_RATE


class Faceless(VideoGenerator):
    """Hands the audio on."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[rtc.AudioFrame | AudioSegmentEnd] = asyncio.Queue()

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        self._frames.put_nowait(frame)

    def clear_buffer(self) -> None:
        while not self._frames.empty():
            self._frames.get_nowait()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        while True:
            yield await self._frames.get()


async def main(agent: str) -> None:
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    runner = AvatarRunner(
        room,
        audio_recv=DataStreamAudioReceiver(room, sender_identity=agent),
        video_gen=Faceless(),
        options=AvatarOptions(
            video_width=16, video_height=16, video_fps=1.0, audio_sample_rate=VOICE_RATE, audio_channels=1
        ),
        _lazy_publish=False,
    )
    await runner.start()
    await runner.wait_for_complete()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main(sys.argv[1]))
