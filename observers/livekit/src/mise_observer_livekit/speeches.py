"""What one participant says, as turns: from when somebody was heard to speak, and from transcripts, by time.

Not from the items of the chat history: the words of a back-channel come in front of those of the next turn there, and
its start is the back-channel's.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

BETWEEN_S = 1.0
"""So long the agent has spoken between two speeches when they are not one turn."""

PAUSE_S = 5.0
"""A longer pause ends a turn that nobody committed; LiveKit waits 3 s at most for a turn to go on."""

SETTLED_S = 10.0
"""So long after the last word a turn that nobody committed is sent as it is."""

ONSET_S = 0.5
"""A final transcript that comes sooner after a speech has begun is of the one before."""

WORD_S = 0.4
"""Of a word, where nothing but text says when somebody spoke."""


@dataclass(slots=True, eq=False)
class Speech:
    """From when somebody began to speak to when he stopped; None while he speaks. finals : its transcripts."""

    started_at: float
    ended_at: float | None = None
    finals: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as far as words and rough times go.

    exact : somebody was heard to start and to stop; else the times follow from when the text came.
    committed : it is in the chat history, and the agent answers it.
    """

    turn_id: str
    started_at: float
    ended_at: float
    text: str
    language: str | None
    committed: bool
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """A user's message as it enters the chat history. started_at, ended_at : what the framework says, if it does."""

    text: str
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True, eq=False)
class _Group:
    speeches: list[Speech]
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    language: str | None = None

    @property
    def ended_at(self) -> float | None:
        return self.speeches[-1].ended_at


class Agent:
    """When the agent spoke, as far back as it matters."""

    def __init__(self) -> None:
        self._spoke: list[tuple[float, float | None]] = []

    def started(self, at: float) -> None:
        self._spoke = [*self._spoke[-20:], (at, None)]

    def stopped(self, at: float) -> None:
        if self._spoke and self._spoke[-1][1] is None:
            self._spoke[-1] = (self._spoke[-1][0], at)

    def spoke_s(self, start: float, end: float) -> float:
        """How long, from `start` to `end`."""
        return sum(max(0.0, min(end, end if stop is None else stop) - max(start, begin)) for begin, stop in self._spoke)


class Speeches:
    """The turns of one participant. Everything that closes turns returns them, in order."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._groups: list[_Group] = []
        self._before: list[str] = []  # finals of turns that were sent uncommitted: the next item begins with them
        self._loose: list[tuple[float, str]] = []  # finals of nothing that was heard
        self._language: str | None = None
        self._late: Said | None = None  # sent uncommitted, because nobody had committed it so far
        self._until = float("-inf")

    def started(self, at: float) -> list[Said]:
        """Somebody began to speak."""
        closed: list[Said] = []
        if self._groups:
            last = self._groups[-1]
            ended_at = last.ended_at
            if ended_at is None:
                return []
            if self._agent.spoke_s(ended_at, at) >= BETWEEN_S or at - ended_at > PAUSE_S:
                closed = self._close_all()
            else:
                last.speeches.append(Speech(at))
                return []
        self._groups.append(_Group([Speech(at)], language=self._language))
        return closed

    def stopped(self, at: float) -> None:
        """He stopped."""
        if self._groups and self._groups[-1].ended_at is None:
            speech = self._groups[-1].speeches[-1]
            speech.ended_at = max(at, speech.started_at)

    def final(self, text: str, at: float, language: str | None = None) -> None:
        """A final transcript came."""
        if not text.strip():
            return
        self._language = language or self._language
        speeches = [(group, speech) for group in self._groups for speech in group.speeches]
        if not speeches:
            self._loose.append((at, text))
            return
        group, speech = speeches[-1]
        if len(speeches) > 1 and at - speech.started_at < ONSET_S and not speech.finals:
            group, speech = speeches[-2]
        speech.finals.append(text)
        group.language = language or group.language

    def committed(self, item: Committed, at: float) -> list[Said]:
        """The user's turn entered the chat history."""
        if (late := self._late_of(item)) is not None:
            self._committed()
            return [replace(late, text=late.text or item.text, committed=True)]
        claimed, rest = self._claim(item)
        if claimed is None:
            return [*self._close_all(), *self._without_speech(item, at)]
        closed = [self._said(group, committed=False) for group in self._groups[:-1]]
        group = self._groups[-1]
        text = self._text_of(item, [final for speech in claimed for final in speech.finals])
        ended_at = claimed[-1].ended_at
        said = Said(
            group.turn_id, claimed[0].started_at, at if ended_at is None else ended_at, text, group.language, True
        )
        self._groups = [_Group(rest, language=self._language)] if rest else []
        self._committed()
        return [*closed, said]

    def settle(self, at: float, after_s: float = SETTLED_S) -> list[Said]:
        """Close what nobody has committed so long after its end."""
        if not self._groups:
            return []
        ended_at = self._groups[-1].ended_at
        if ended_at is None or at - ended_at < after_s:
            return []
        return self._close_all()

    def close(self, at: float) -> list[Said]:
        """The call is over."""
        self.stopped(at)
        return self._close_all()

    def _late_of(self, item: Committed) -> Said | None:
        """The turn that was sent uncommitted and is committed only now, when he has gone on to the next."""
        if not self._groups or item.ended_at is None or item.ended_at >= self._groups[-1].speeches[0].started_at:
            return None
        return self._late

    def _claim(self, item: Committed) -> tuple[list[Speech] | None, list[Speech]]:
        if not self._groups:
            return None, []
        speeches = self._groups[-1].speeches
        if speeches[-1].ended_at is not None or len(speeches) == 1:
            return speeches, []
        # He speaks on already, while what he said before is being committed.
        if item.ended_at is not None and speeches[-1].started_at < item.ended_at:
            return speeches, []
        return speeches[:-1], speeches[-1:]

    def _without_speech(self, item: Committed, at: float) -> list[Said]:
        text = self._text_of(item, [])
        late, language = self._late, self._language
        heard_at = self._loose[-1][0] if self._loose else at
        self._committed()
        if late is not None and (item.started_at is None or item.started_at <= late.ended_at):
            return [Said(late.turn_id, late.started_at, late.ended_at, late.text or text, late.language, True)]
        ended_at = item.ended_at if item.ended_at is not None else heard_at
        started_at = item.started_at
        if started_at is None:
            started_at = max(ended_at - WORD_S * max(len(text.split()), 1), min(self._until, ended_at))
        self._until = ended_at
        return [Said(uuid.uuid4().hex, min(started_at, ended_at), ended_at, text, language, True, exact=False)]

    def _committed(self) -> None:
        self._before.clear()
        self._loose.clear()
        self._late = None

    def _close_all(self) -> list[Said]:
        closed = [self._said(group, committed=False) for group in self._groups]
        self._groups = []
        self._before += [said.text for said in closed if said.text]
        if closed:
            self._late = closed[-1]
        return closed

    def _said(self, group: _Group, *, committed: bool) -> Said:
        first, last = group.speeches[0], group.speeches[-1]
        ended_at = last.started_at if last.ended_at is None else last.ended_at
        self._until = ended_at
        text = " ".join(final for speech in group.speeches for final in speech.finals)
        return Said(group.turn_id, first.started_at, ended_at, text, group.language, committed)

    def _text_of(self, item: Committed, finals: Sequence[str]) -> str:
        """What the item adds to what was sent before; the finals, unless it has more (an interim)."""
        words, before, ours = item.text.split(), " ".join(self._before).split(), " ".join(finals).split()
        if before and words[: len(before)] == before:
            words = words[len(before) :]
        if ours and words[: len(ours)] != ours:
            words = ours
        return " ".join(words)
