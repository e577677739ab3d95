"""The sentiment of what is said, by its words.

VADER (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of social media text",
ICWSM): a lexicon of 7,500 English words that people rated, with rules for negation and emphasis. Why this one, and what
it is worth on speech: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from vader import SentimentIntensityAnalyzer

from pipeline.dialogue.lexicon import without_tags
from pipeline.dialogue.vocabulary import Vocabulary, spoken
from schemas.turn import ReceivedTurn

LANGUAGE: Final = "en"

MOST_CHARACTERS: Final = 10_000
"""Of a longer text the rest is left out: the score is at one of its ends by then."""

DECIMALS: Final = 3

SentimentOf = Callable[[ReceivedTurn], float | None]


def sentiment_of(vocabularies: Mapping[str, Vocabulary]) -> SentimentOf:
    """The function that gives a turn's sentiment, -1 to 1; None when it has no words or they are not English.

    vocabularies : by language. Where a turn declares no language, it is English when more of its words are of the
    English vocabulary than of any other: German "die" is no death.
    """
    english = vocabularies[LANGUAGE].words
    others = [vocabulary.words for language, vocabulary in vocabularies.items() if language != LANGUAGE]

    def is_english(turn: ReceivedTurn) -> bool:
        if turn.language:
            return turn.language.split("-", 1)[0].lower() == LANGUAGE
        said = spoken(turn.text)
        return sum(word in english for word in said) > max(sum(word in other for word in said) for other in others)

    def sentiment(turn: ReceivedTurn) -> float | None:
        text = without_tags(turn.text[:MOST_CHARACTERS])
        if not text.strip() or not is_english(turn):
            return None
        return round(float(_analyzer().polarity_scores(text)["compound"]), DECIMALS)

    return sentiment


def no_sentiment(turn: ReceivedTurn) -> float | None:  # noqa: ARG001
    """Of no turn is it told."""
    return None


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
