"""The sentiment of what is said, by its words.

VADER (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of social media text",
ICWSM): a lexicon of 7,500 English words that people rated, with rules for negation and emphasis. Why this one, and what
it is worth on speech: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Final, NamedTuple

from vader import SentimentIntensityAnalyzer

from pipeline.dialogue.lexicon import without_tags
from pipeline.dialogue.vocabulary import Vocabulary, spoken
from schemas.turn import ReceivedTurn

LANGUAGE: Final = "en"

MOST_CHARACTERS: Final = 10_000
"""Of a longer text the rest is left out: the score is at one of its ends by then."""

DECIMALS: Final = 3


class Tone(NamedTuple):
    """What a turn's words say of how it is meant.

    sentiment : -1 to 1; None when it has no words or they are not English. not_understood : whether it says that its
    speaker did not understand.
    """

    sentiment: Callable[[ReceivedTurn], float | None]
    not_understood: Callable[[ReceivedTurn], bool]


def tone(vocabularies: Mapping[str, Vocabulary]) -> Tone:
    """The tone by the words of these vocabularies.

    vocabularies : by language. Where a turn declares no language, it is English when more of its words are of the
    English vocabulary than of any other: German "die" is no death.
    """
    english = vocabularies[LANGUAGE].words
    others = [vocabulary.words for language, vocabulary in vocabularies.items() if language != LANGUAGE]
    cues = [f" {cue} " for vocabulary in vocabularies.values() for cue in vocabulary.misunderstandings]

    def is_english(turn: ReceivedTurn) -> bool:
        if turn.language:
            return turn.language.split("-", 1)[0].lower() == LANGUAGE
        said = spoken(turn.text)
        return sum(word in english for word in said) > max(sum(word in other for word in said) for other in others)

    def sentiment(turn: ReceivedTurn) -> float | None:
        text = without_tags(turn.text[:MOST_CHARACTERS])
        return _score(text) if spoken(text) and is_english(turn) else None

    def not_understood(turn: ReceivedTurn) -> bool:
        said = f" {' '.join(spoken(turn.text))} "
        return any(cue in said for cue in cues)

    return Tone(sentiment, not_understood)


NO_TONE: Final = Tone(lambda turn: None, lambda turn: False)  # noqa: ARG005
"""Tells nothing of any turn."""


@lru_cache(1024)
def _score(text: str) -> float:
    return round(float(_analyzer().polarity_scores(text)["compound"]), DECIMALS)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
