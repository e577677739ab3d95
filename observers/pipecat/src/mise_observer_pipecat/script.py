"""What the agent is about to say, and how much of it was heard when it is cut off. Pure.

Pipecat's text goes ahead of the sound: a speech service hands on the text of a sentence with its audio, seconds before
it is played; or each word with the time at which it will be played.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

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

    def played(self) -> str:
        """The text of what was played to its end."""
        context = self._playing()
        if context is None:
            return self._take_answer()
        text = _joined(context.pieces or context.announced)
        context.pieces, context.announced, context.synthesized_s = [], [], 0.0
        if context.over or len(self._contexts) > 1:
            self._contexts.popleft()
        return text or self._take_answer()

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
    rest = [_Piece(piece.text, piece.spaced, context.synthesized_s) for piece in context.announced]
    for piece in [*context.pieces, *rest]:
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
        heard.append(piece if kept >= len(words) else _Piece(" ".join(words[:kept]), piece.spaced, piece.ends_s))
        begins_s = piece.ends_s
    return _joined(heard)


def _joined(pieces: list[_Piece]) -> str:
    text = ""
    for piece in pieces:
        text += piece.text if piece.spaced or not text else f" {piece.text}"
    return text.strip()
