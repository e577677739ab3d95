"""From what was said and heard to a turn: true times, its own audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mise_observer.turn import Audio, Role
from mise_observer.voiced import FRAME_S, voiced
from mise_observer_livekit.ring import Cut

BEFORE_S = 0.5
AFTER_S = 0.2
"""How far from where LiveKit's voice detection puts start and end the true ones are looked for; it is up to 170 ms late
at the start and 200 ms at the end (measured)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn on its way out. Times are on the call's clock.

    who : the key of a participant. sound : audio that has the turn in it, with some more on both sides when `refine`.
    delay_s : how long the audio was under way, at its start and at its end.
    """

    turn_id: str
    who: str
    role: Role
    text: str
    started_at: float
    ended_at: float
    sound: Cut | None = None
    refine: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    language: str | None = None
    interrupted: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def refined(draft: Draft) -> Draft:
    """With start and end where speech is heard to, less the delay, and nothing but that in its audio.

    Where speech seems to reach the edge of the audio, it is the noise of the line that does: then the time stays.
    """
    start, end = draft.started_at, draft.ended_at
    sound = draft.sound
    if sound is not None:
        length = len(sound.samples) / sound.sample_rate
        found = voiced(sound.samples, sound.sample_rate)
        if found is not None:
            if found[0] > FRAME_S / 2:
                start = sound.at + found[0]
            if found[1] < length - 2 * FRAME_S:
                end = sound.at + found[1]
        if end <= start:
            start, end = draft.started_at, draft.ended_at
        start = max(start, sound.at)
        sound = cropped(sound, start, end)
    started_at, ended_at = start - draft.delay_s[0], end - draft.delay_s[1]
    return replace(draft, started_at=started_at, ended_at=max(started_at, ended_at), sound=sound)


def cropped(sound: Cut, start: float, end: float) -> Cut | None:
    """The part from `start` to `end`; None when it is empty."""
    first = max(round((start - sound.at) * sound.sample_rate), 0)
    last = round((end - sound.at) * sound.sample_rate)
    samples = sound.samples[first:last]
    return replace(sound, samples=samples, at=sound.at + first / sound.sample_rate) if len(samples) else None


def audio_of(sound: Cut | None) -> Audio | None:
    if sound is None or not len(sound.samples):
        return None
    return Audio(data=sound.samples.tobytes(), format="pcm_s16le", sample_rate=sound.sample_rate, channels=1)
