"""What is said in the calls of these tests: recordings of people that are in the repository, and their words."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.int16]

RATE = 16_000
"""Of all recordings, Hz."""

VOICE_RATE = 24_000
"""Of agents' voices: LiveKit's own, which it resamples others to."""

EXAMPLE = Path("deploy/example/audio")
RECORDINGS = Path("tests/evaluation/recordings")


@dataclass(frozen=True)
class Speech:
    """Something said. files : played one after another."""

    text: str
    files: tuple[Path, ...]

    @property
    def samples(self) -> Samples:
        return np.concatenate([soundfile.read(file, dtype="int16")[0] for file in self.files])

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    @property
    def voice(self) -> Samples:
        """At VOICE_RATE."""
        voice: Samples = soxr.resample(self.samples, RATE, VOICE_RATE)
        return voice

    def write(self, folder: Path, rate: int = RATE) -> Path:
        """As a WAV file in the folder; its path."""
        path = folder / f"{'+'.join(file.stem for file in self.files)}-{rate}.wav"
        if not path.exists():
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes((self.samples if rate == RATE else self.voice).tobytes())
        return path


def _speech(text: str, *files: Path) -> Speech:
    return Speech(text, files)


GREETING = _speech("Pity the world, or else this glutton be.", EXAMPLE / "04-agent.flac")
LONG = _speech(
    "From fairest creatures we desire increase. That thereby beauty's rose might never die. "
    "Making a famine where abundance lies. Thy self thy foe, to thy sweet self too cruel.",
    *(EXAMPLE / f"{number}-agent.flac" for number in ("01", "12", "08", "10")),
)
"""12 s: room for a backchannel."""
LONGER = _speech(
    "I'm sorry there are no matches for those keywords. Press 2 to call the person who sent this message. "
    "I am sorry, that's not a valid extension. Please try again. "
    "The number you have dialed is not in service. Please check the number and try again.",
    *(RECORDINGS / f"f1-0{number}.flac" for number in (1, 2, 3, 4)),
)
"""16 s: to be interrupted."""
SHORT = _speech("But thou contracted to thine own bright", EXAMPLE / "06-agent.flac")

FIRST = _speech("He might even have been made amiable himself.", EXAMPLE / "11-caller.flac")
SECOND = _speech("He was not an ill disposed young man.", EXAMPLE / "05-caller.flac")
BARGE_IN = _speech(
    "Unless to be rather cold hearted and rather selfish is to be ill disposed.", EXAMPLE / "07-caller.flac"
)
BACKCHANNEL = _speech("Mm-hmm.", EXAMPLE / "03-agent.flac")
"""The sound is "one": there is no recording of a listener's sign here, and it is the transcript that makes it one."""
STORY = _speech(
    "And Mister John Dashwood had then leisure to consider "
    "how much there might be prudently in his power to do for them.",
    EXAMPLE / "02-caller.flac",
)
"""6.5 s: to be cut off."""
OTHER = _speech("Had he married a more amiable woman, he might have been made still more", EXAMPLE / "09-caller.flac")
"""What a second caller says."""

AGENTS = (GREETING, LONG, LONGER, SHORT)


@dataclass(frozen=True)
class Observed:
    """Where the observer of an agent sends to."""

    endpoint: str
    api_key: str


SESSION: Mapping[str, Any] = {
    "turn_handling": {"turn_detection": "vad", "interruption": {"mode": "vad", "min_words": 2}}
}
"""A word does not stop the agent, two do."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What an agent does in a call; `tests.livekit.agent` reads it as JSON.

    folder : where it writes what it saw (`events.jsonl`, `sent.npz`). greeting : its first words, if it has any.
    replies : its answers, in order. hears : what its speech recognition makes of the caller, in order; "" is a noise.
    session : options of its AgentSession. observers : how often the observer is attached. limits : the observer's.
    raises : TypeError, at each message: in the `observer`'s own code, or in a `handler` of the agent's.
    avatar : identity of the participant who speaks for it. successor : the first words of the agent that takes over
    when somebody joins after the start.
    """

    folder: str
    observed: Observed | None = None
    session: Mapping[str, Any] = field(default_factory=lambda: SESSION)
    observers: int = 1
    limits: Mapping[str, int] = field(default_factory=dict)
    raises: Literal["observer", "handler"] | None = None
    greeting: str | None = GREETING.text
    replies: tuple[str, ...] = (LONG.text, LONGER.text, SHORT.text)
    hears: tuple[str, ...] = (FIRST.text, BACKCHANNEL.text, SECOND.text, BARGE_IN.text)
    voice: dict[str, str] = field(default_factory=dict)
    avatar: str | None = None
    successor: str | None = None

    def write(self) -> Path:
        """Put it into its folder, with the voice; its path."""
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        voice = {speech.text: str(speech.write(folder, VOICE_RATE)) for speech in AGENTS}
        path = folder / "script.json"
        path.write_bytes(msgspec.json.encode(asdict(self) | {"voice": voice}))
        return path
