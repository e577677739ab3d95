"""The turns of the agent: what its output played, cut where it was cut off, with the text of it. Pure.

# bot speaking     |---------------------|             from the output's own start and stop
# audio            ====================== - - -        as it was handed to the output; the dashes it no longer played
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mise_observer.recording import MOST_BYTES, Pcm, Samples
from mise_observer_pipecat.said import Said
from mise_observer_pipecat.script import Played, Script

UNDERRUN_S = 0.2
"""An output that waits longer for its next samples was silent in between; less is how punctual it is."""

LAST_CHUNK_S = 0.3
"""The chunk that was being played when the agent was cut off is reported up to so much later."""

CUT_OFF_S = 1.0
"""An interruption stops the output within milliseconds; an agent that speaks on for longer was not cut off by it."""


@dataclass(slots=True)
class _Turn:
    """plays_until : where the samples that were handed over end. handed_at : when the last of them were.

    whole : whether there was room for all of them. played : of a turn that was not cut off when it stopped.
    """

    started_at: float
    plays_until: float
    handed_at: float = 0.0
    chunks: list[Samples] = field(default_factory=list)
    bytes: int = 0
    whole: bool = True
    sample_rate: int = 0
    silent_s: float = 0.0
    interrupted_at: float | None = None
    stopped_at: float | None = None
    text: str = ""
    played: Played | None = None

    @property
    def interrupted(self) -> bool:
        if self.interrupted_at is None or self.stopped_at is None:
            return False
        return self.stopped_at - self.interrupted_at < CUT_OFF_S

    @property
    def ended_at(self) -> float:
        """Where what was heard ends.

        An output that takes samples ahead of time drops what it has not played when it is cut off; one that takes
        them as it plays them ends with the chunk that it was at.
        """
        stopped_at = self.started_at if self.stopped_at is None else self.stopped_at
        if not self.chunks:
            return max(stopped_at, self.started_at)
        if self.interrupted_at is not None and self.interrupted:
            dropped_at = max(stopped_at, self.interrupted_at, self.handed_at)
            return max(min(self.plays_until, dropped_at), self.started_at)
        return self.plays_until

    @property
    def heard_s(self) -> float:
        """Of what was synthesized."""
        return self.ended_at - self.started_at - self.silent_s


class AgentTurns:
    """Told of one thing after another, each with its time in seconds on one clock; `settled` gives the turns.

    script : where what the agent says is written down meanwhile.
    """

    def __init__(self, participant: str) -> None:
        self.script = Script()
        self._participant = participant
        self._turn: _Turn | None = None

    def started(self, at: float) -> list[Said]:
        """The output begins to play speech. Returns the turn before, if it was not settled yet."""
        self.stopped(at)
        # An output that takes samples ahead of time still plays those of the turn before.
        begins = at if self._turn is None else max(at, self._turn.ended_at)
        done = self._finish()
        self._turn = _Turn(started_at=begins, plays_until=begins)
        return done

    def stopped(self, at: float) -> None:
        """The output has played everything, or was told to drop it."""
        turn = self._turn
        if turn is None or turn.stopped_at is not None:
            return
        turn.stopped_at = at
        if turn.interrupted:
            turn.text = self.script.cut(turn.heard_s, turn.ended_at)
        else:
            turn.played = self.script.played()
            turn.text = turn.played.text

    def interrupted(self, at: float) -> None:
        """Somebody else takes the floor; what was not played yet won't be."""
        turn = self._turn
        if turn is not None and turn.stopped_at is None:
            turn.interrupted_at = at
            return
        self.script.clear()
        if turn is not None and turn.played is not None and turn.plays_until - at > UNDERRUN_S:
            # It was handed over to its end, and the last of it was still to be played.
            turn.interrupted_at = at
            turn.text = turn.played.cut(turn.heard_s, turn.ended_at)

    def played(self, samples: Samples, sample_rate: int, at: float, *, speech: bool) -> None:
        """One channel, taken by the output just now. speech : not what it mixes in."""
        turn = self._turn
        if turn is None or (turn.stopped_at is not None and not (speech and turn.interrupted)):
            return
        if turn.sample_rate not in (0, sample_rate):
            return
        turn.sample_rate = sample_rate
        length_s = len(samples) / sample_rate
        silent_s = at - length_s - turn.plays_until
        if silent_s > UNDERRUN_S:
            turn.plays_until += silent_s
            turn.silent_s += silent_s
            self._keep(turn, np.zeros(round(silent_s * sample_rate), np.int16))
        turn.plays_until += length_s
        turn.handed_at = at
        self._keep(turn, samples)

    def settled(self, at: float) -> list[Said]:
        """The turn that is over, if one is."""
        turn = self._turn
        if turn is None or turn.stopped_at is None or at - max(turn.stopped_at, turn.ended_at) < LAST_CHUNK_S:
            return []
        return self._finish()

    def close(self, at: float) -> list[Said]:
        """Whatever there is; what is being said is cut off now."""
        self.interrupted(at)
        self.stopped(at)
        return self._finish()

    @staticmethod
    def _keep(turn: _Turn, samples: Samples) -> None:
        turn.whole = turn.whole and turn.bytes + samples.nbytes <= MOST_BYTES
        if turn.whole:
            turn.chunks.append(samples)
            turn.bytes += samples.nbytes

    def _finish(self) -> list[Said]:
        turn, self._turn = self._turn, None
        if turn is None:
            return []
        return [
            Said(
                participant=self._participant,
                role="agent",
                text=turn.text,
                started_at=turn.started_at,
                ended_at=turn.ended_at,
                audio=_audio(turn),
                interrupted=turn.interrupted,
                metadata={} if turn.whole else {"audio": "too_long"},
            )
        ]


def _audio(turn: _Turn) -> Pcm | None:
    if not turn.chunks:
        return None
    samples = np.concatenate(turn.chunks)[: round((turn.ended_at - turn.started_at) * turn.sample_rate)]
    return Pcm(samples, turn.sample_rate, turn.started_at) if len(samples) else None
