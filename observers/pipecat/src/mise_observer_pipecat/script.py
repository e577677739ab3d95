"""What the agent is about to say, and how much of it was heard when it is cut off. Pure.

Pipecat's text goes ahead of the sound: a speech service hands on the text of a sentence with its audio, seconds before
it is played; or all of the text before the first of the audio; or each word with the time at which it will be played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

MOST_CONTEXTS = 100
"""Waiting to be played; an agent whose sound nobody plays must not take the memory."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """text, whether it brings its own spaces, the synthesized seconds it ends after, and when it is played if known."""

    text: str
    spaced: bool
    ends_s: float
    at: float | None = None


@dataclass(slots=True)
class _Context:
    """What a speech service makes of one answer.

    announced : sentences of which no more is known yet. lasting : no interruption takes it away.
    """

    key: str | None
    pieces: list[_Piece] = field(default_factory=list)
    announced: list[_Piece] = field(default_factory=list)
    synthesized_s: float = 0.0
    over: bool = False
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """What was played to its end, as far as is known. text : all of it."""

    text: str
    _context: _Context | None = None

    def cut(self, heard_s: float, at: float) -> str:
        """The text of what was heard of it, if the end of it was cut off after all, as of `Script.cut`."""
        heard = "" if self._context is None else _heard(self._context, heard_s, at)
        return heard or self.text


class Script:
    """The texts of the contexts that are being played or wait for it, in the order in which they were begun."""

    def __init__(self) -> None:
        self._contexts: deque[_Context] = deque(maxlen=MOST_CONTEXTS)
        self._answer: list[str] = []

    def answer_begins(self) -> None:
        """The language model begins an answer."""
        self._answer = []

    def answer(self, text: str) -> None:
        """A part of the answer; used only where the speech service says nothing of its text."""
        self._answer.append(text)

    def announced(self, key: str | None, text: str, *, lasting: bool = False) -> None:
        """A sentence that the speech service begins with. lasting : interruptions don't take it away."""
        context = self._context(key)
        context.lasting = context.lasting or lasting
        context.announced.append(_Piece(text, False, context.synthesized_s))

    def synthesized(self, key: str | None, seconds: float) -> None:
        self._context(key).synthesized_s += seconds

    def spoken(self, key: str | None, text: str, *, spaced: bool, at: float | None = None) -> None:
        """A sentence that is synthesized, or a word with the time at which it is played."""
        context = self._context(key)
        context.pieces.append(_Piece(text, spaced, context.synthesized_s, at))
        context.announced.clear()

    def context_over(self, key: str | None) -> None:
        self._context(key).over = True

    def played(self) -> Played:
        """What was played to its end."""
        context = self._playing()
        if context is None:
            return Played(self._take_answer())
        played = replace(context)
        context.pieces, context.announced, context.synthesized_s = [], [], 0.0
        if context.over or len(self._contexts) > 1:
            self._contexts.popleft()
        return Played(_joined(played.pieces or played.announced) or self._take_answer(), played)

    def cut(self, heard_s: float, at: float) -> str:
        """The text of what was heard when it was cut off after so many seconds, at `at`; nothing of it remains.

        Whole sentences, and of the one that was cut so many of its words as its share of the time. At least one word,
        if there was any.
        """
        playing = self._playing()
        text = ""
        if playing is not None:
            text = _heard(playing, heard_s, at)
            self._contexts.remove(playing)
        text = text or self._take_answer()
        self.clear()
        return text

    def clear(self) -> None:
        """Nothing of it is played any more, but for what no interruption takes away."""
        lasting = [context for context in self._contexts if context.lasting]
        self._contexts.clear()
        self._contexts.extend(lasting)
        self._answer = []

    def _playing(self) -> _Context | None:
        """The first that has sound, unless none has (it is made elsewhere); those before it were never heard."""
        if any(context.synthesized_s for context in self._contexts):
            while not self._contexts[0].synthesized_s:
                self._contexts.popleft()
        return self._contexts[0] if self._contexts else None

    def _context(self, key: str | None) -> _Context:
        for context in reversed(self._contexts):
            if context.key == key and not context.over:
                return context
        context = _Context(key)
        self._contexts.append(context)
        return context

    def _take_answer(self) -> str:
        answer, self._answer = "".join(self._answer).strip(), []
        return answer


def _heard(context: _Context, heard_s: float, at: float) -> str:
    heard: list[_Piece] = []
    begins_s = 0.0
    # Of what is only announced the end is not known: it is at least as long as what is synthesized of it.
    rest = [replace(piece, ends_s=context.synthesized_s) for piece in context.announced]
    for piece in _with_sound([*context.pieces, *rest], context.synthesized_s):
        if piece.at is not None:
            if piece.at > at and heard:
                break
            heard.append(piece)
            continue
        if begins_s >= heard_s and heard:
            break
        share = 1.0 if piece.ends_s <= heard_s else (heard_s - begins_s) / (piece.ends_s - begins_s)
        words = piece.text.split()
        kept = max(1, round(share * len(words)))
        heard.append(piece if kept >= len(words) else replace(piece, text=" ".join(words[:kept])))
        begins_s = piece.ends_s
    return _joined(heard)


def _with_sound(pieces: list[_Piece], synthesized_s: float) -> Iterator[_Piece]:
    """The pieces, each with sound: what came before any of its own shares that of the next one, or of the rest."""
    waiting: list[_Piece] = []
    ends_s = 0.0
    for piece in pieces:
        if piece.at is not None:
            yield piece
            continue
        waiting.append(piece)
        if piece.ends_s > ends_s:
            ends_s = piece.ends_s
            yield replace(waiting[0], text=_joined(waiting), ends_s=ends_s)
            waiting = []
    if waiting:
        yield replace(waiting[0], text=_joined(waiting), ends_s=max(ends_s, synthesized_s))


def _joined(pieces: list[_Piece]) -> str:
    text = ""
    for piece in pieces:
        apart = text and not piece.spaced and not text[-1].isspace() and not piece.text[:1].isspace()
        text += f" {piece.text}" if apart else piece.text
    return text.strip()
