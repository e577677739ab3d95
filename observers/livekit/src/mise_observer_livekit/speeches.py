"""What one participant says, as turns: from when somebody was heard to speak, and from transcripts, by time.

Not from the items of the chat history: the words of a back-channel come in front of those of the next turn there, and
its start is the back-channel's.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

BETWEEN_S = 1.0
"""So long the agent has spoken between two speeches when they are not one turn."""

PAUSE_S = 5.0
"""A longer pause ends a turn that nobody committed; LiveKit waits 3 s at most for a turn to go on."""

SETTLED_S = 10.0
"""So long after the last word a turn that nobody committed is sent as it is."""

LATE_S = 20.0
"""So long after the last word a final transcript may still be of a turn that was sent: twice what it waited for one."""

ONSET_S = 0.5
"""A final transcript that comes sooner after a speech has begun is of the one before, if that has none."""

WORD_S = 0.4
"""Of a word, where nothing but text says when somebody spoke."""

BEFORE = 50
"""Finals of turns that nobody committed that are remembered; LiveKit's next item begins with all there were.
So many that are of nothing that was heard are a turn, too."""


@dataclass(slots=True, eq=False)
class Speech:
    """From when somebody began to speak to when he stopped; None while he speaks. finals : its transcripts."""

    started_at: float
    ended_at: float | None = None
    finals: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RoughTurn:
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


@dataclass(frozen=True, slots=True)
class _Final:
    text: str
    at: float


@dataclass(slots=True, eq=False)
class _Group:
    speeches: list[Speech]
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    language: str | None = None

    @property
    def started_at(self) -> float:
        return self.speeches[0].started_at

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
    """The turns of one participant. Whatever closes a turn returns it, and a turn again of which more is known."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._group: _Group | None = None
        self._before: deque[str] = deque(maxlen=BEFORE)  # of turns sent uncommitted: the next item begins with them
        self._loose: list[_Final] = []  # of nothing that was heard, and of no turn so far
        self._language: str | None = None
        self._late: RoughTurn | None = None  # sent uncommitted, because nobody had committed it so far
        self._until = float("-inf")

    @property
    def since(self) -> float | None:
        """When what is not sent yet began."""
        begun = [] if self._group is None else [self._group.started_at]
        begun += [self._estimated_start(final.at, final.text) for final in self._loose[:1]]
        return min(begun, default=None)

    def started(self, at: float) -> list[RoughTurn]:
        """Somebody began to speak."""
        closed: list[RoughTurn] = []
        if self._group is not None:
            ended_at = self._group.ended_at
            if ended_at is None:
                return []
            if self._agent.spoke_s(ended_at, at) < BETWEEN_S and at - ended_at <= PAUSE_S:
                self._group.speeches.append(Speech(at))
                return []
            closed = self._close()
        self._group = _Group([Speech(at)], language=self._language)
        return closed

    def stopped(self, at: float) -> None:
        """He stopped."""
        if self._group is not None and self._group.ended_at is None:
            speech = self._group.speeches[-1]
            speech.ended_at = max(at, speech.started_at)

    def final(self, text: str, at: float, language: str | None = None) -> list[RoughTurn]:
        """A final transcript came."""
        if not text.strip():
            return []
        self._language = language or self._language
        late, group = self._late, self._group
        if group is None:
            if late is not None and at - late.ended_at <= LATE_S:
                return self._again(late, text)
            self._loose.append(_Final(text, at))
            return self._close_loose() if len(self._loose) >= BEFORE else []
        speech = group.speeches[-1]
        if at - speech.started_at < ONSET_S and not speech.finals:
            if len(group.speeches) > 1:
                speech = next(one for one in group.speeches[-2:] if not one.finals)
            elif late is not None and not late.text and at - late.ended_at <= LATE_S:
                return self._again(late, text)
        speech.finals.append(text)
        group.language = language or group.language
        return []

    def committed(self, item: Committed, at: float) -> list[RoughTurn]:
        """The user's turn entered the chat history."""
        if (late := self._late_of(item)) is not None:
            return self._late_committed(late, item)
        group = self._group
        if group is None:
            return self._without_speech(item, at)
        claimed, rest = _claim(group.speeches, item)
        finals = [final for speech in claimed for final in speech.finals]
        loose = self._loose_of(item)
        # Where what was heard has words, they were said before it; else they are its words.
        before = self._uncommitted(loose) if finals else []
        text = self._text_of(item, finals)
        ended_at = claimed[-1].ended_at
        self._group = _Group(rest, language=self._language) if rest else None
        self._committed()
        return [
            *before,
            RoughTurn(
                group.turn_id, claimed[0].started_at, at if ended_at is None else ended_at, text, group.language, True
            ),
        ]

    def settle(self, at: float, after_s: float = SETTLED_S) -> list[RoughTurn]:
        """Close what nobody has committed so long after its end."""
        loose = self._close_loose() if self._loose and at - self._loose[-1].at >= after_s else []
        ended_at = None if self._group is None else self._group.ended_at
        return loose if ended_at is None or at - ended_at < after_s else loose + self._close()

    def close(self, at: float) -> list[RoughTurn]:
        """The call is over."""
        self.stopped(at)
        return self._close()

    def _late_of(self, item: Committed) -> RoughTurn | None:
        """The turn that was sent uncommitted and is committed only now, when he has gone on to the next."""
        if self._group is None or item.ended_at is None or item.ended_at >= self._group.started_at:
            return None
        return self._late

    def _late_committed(self, late: RoughTurn, item: Committed) -> list[RoughTurn]:
        loose = self._loose_of(item)
        turns = [replace(late, text=late.text or self._text_of(item, []), committed=True)]
        turns += self._uncommitted(loose) if late.text else []
        self._committed()
        return turns

    def _without_speech(self, item: Committed, at: float) -> list[RoughTurn]:
        late = self._late
        if late is not None and (item.started_at is None or item.started_at <= late.ended_at):
            return self._late_committed(late, item)
        text, language = self._text_of(item, []), self._language
        loose = self._loose_of(item)
        if not loose:  # the agent has made another message of what was said
            loose, self._loose = self._loose, []
        self._committed()
        heard_at = loose[-1].at if loose else at
        ended_at = item.ended_at if item.ended_at is not None else heard_at
        started_at = self._estimated_start(ended_at, text) if item.started_at is None else item.started_at
        self._until = ended_at
        return [RoughTurn(uuid.uuid4().hex, min(started_at, ended_at), ended_at, text, language, True, exact=False)]

    def _estimated_start(self, ended_at: float, text: str) -> float:
        return max(ended_at - WORD_S * max(len(text.split()), 1), min(self._until, ended_at))

    def _loose_of(self, item: Committed) -> list[_Final]:
        """Take the loose finals that the item contains. The others came after it was made: it is not of them."""
        words, contained, others = self._new_words(item), [], []
        for final in self._loose:
            ours = final.text.split()
            place = next((n for n in range(len(words)) if words[n : n + len(ours)] == ours), None)
            if place is None:
                others.append(final)
            else:
                contained.append(final)
                words = words[place + len(ours) :]
        self._loose = others
        return contained

    def _close_loose(self) -> list[RoughTurn]:
        loose, self._loose = self._loose, []
        return self._uncommitted(loose)

    def _uncommitted(self, loose: Sequence[_Final]) -> list[RoughTurn]:
        """The turn of finals of nothing that was heard."""
        if not loose:
            return []
        first, last = loose[0], loose[-1]
        started_at = min(self._estimated_start(first.at, first.text), last.at)
        self._until = last.at
        self._before += [final.text for final in loose]
        text = " ".join(final.text for final in loose)
        self._late = RoughTurn(uuid.uuid4().hex, started_at, last.at, text, self._language, False, exact=False)
        return [self._late]

    def _again(self, late: RoughTurn, text: str) -> list[RoughTurn]:
        """A turn that was sent without its last words, with them."""
        self._before.append(text)
        self._late = replace(late, text=f"{late.text} {text}".strip(), language=late.language or self._language)
        return [self._late]

    def _committed(self) -> None:
        self._before.clear()
        self._late = None

    def _close(self) -> list[RoughTurn]:
        """Send what nobody has committed."""
        loose = self._close_loose()
        group, self._group = self._group, None
        if group is None:
            return loose
        first, last = group.speeches[0], group.speeches[-1]
        self._until = last.started_at if last.ended_at is None else last.ended_at
        text = " ".join(final for speech in group.speeches for final in speech.finals)
        self._before += [text] if text else []
        self._late = RoughTurn(group.turn_id, first.started_at, self._until, text, group.language, committed=False)
        return [*loose, self._late]

    def _text_of(self, item: Committed, finals: Sequence[str]) -> str:
        """What the item adds to what was sent before; the finals, unless it has more (an interim)."""
        words, ours = self._new_words(item), " ".join(finals).split()
        if ours and words[: len(ours)] != ours:
            words = ours
        return " ".join(words)

    def _new_words(self, item: Committed) -> list[str]:
        words, before = item.text.split(), " ".join(self._before).split()
        return words[len(before) :] if words[: len(before)] == before else words


def _claim(speeches: list[Speech], item: Committed) -> tuple[list[Speech], list[Speech]]:
    """Which speeches the item is of, and which come after it."""
    if speeches[-1].ended_at is not None or len(speeches) == 1:
        return speeches, []
    # He speaks on already, while what he said before is being committed.
    if item.ended_at is not None and speeches[-1].started_at < item.ended_at:
        return speeches, []
    return speeches[:-1], speeches[-1:]
