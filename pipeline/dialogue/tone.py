"""The sentiment of what is said, by its words.

VADER (Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of social media text",
ICWSM): a lexicon of 7,500 English words that people rated, with rules for negation and emphasis. Why this one, and what
it is worth on speech: docs/decisions/0011.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import chain
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
    speaker did not understand. transfers : whether it speaks of handing the call to a person.
    """

    sentiment: Callable[[ReceivedTurn], float | None]
    not_understood: Callable[[ReceivedTurn], bool]
    transfers: Callable[[ReceivedTurn], bool]


def tone(vocabularies: Mapping[str, Vocabulary]) -> Tone:
    """The tone by the words of these vocabularies.

    vocabularies : by language. Where a turn declares no language, it is English when more of its words are of the
    English vocabulary than of any other: German "die" is no death.
    """
    english = vocabularies[LANGUAGE].words
    others = [vocabulary.words for language, vocabulary in vocabularies.items() if language != LANGUAGE]
    misunderstandings = _Cues(chain.from_iterable(one.misunderstandings for one in vocabularies.values()))
    transfers = _Cues(chain.from_iterable(one.transfers for one in vocabularies.values()))

    def is_english(turn: ReceivedTurn) -> bool:
        if turn.language:
            return turn.language.split("-", 1)[0].lower() == LANGUAGE
        said = spoken(turn.text)
        count = len([word for word in said if word in english])
        return count > 0 and all(len([word for word in said if word in other]) < count for other in others)

    def sentiment(turn: ReceivedTurn) -> float | None:
        text = without_tags(turn.text[:MOST_CHARACTERS])
        return _score(text) if spoken(text) and is_english(turn) else None

    return Tone(
        sentiment,
        not_understood=lambda turn: misunderstandings.are_in(turn.text),
        transfers=lambda turn: transfers.are_in(turn.text),
    )


class _Cues:
    """Phrases to be found among words."""

    def __init__(self, phrases: Iterable[str]) -> None:
        # One pattern: phrase by phrase takes seven times as long.
        found = "|".join(re.escape(phrase) for phrase in sorted(phrases))
        self._pattern = re.compile(f" (?:{found}) ") if found else None

    def are_in(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.search(f" {' '.join(spoken(text))} ") is not None


NO_TONE: Final = Tone(lambda turn: None, lambda turn: False, lambda turn: False)  # noqa: ARG005
"""Tells nothing of any turn."""


@lru_cache(1024)
def _score(text: str) -> float:
    if _PLAIN.fullmatch(text) and _anchors().isdisjoint(_bare(text)):
        return 0.0
    return round(float(_analyzer().polarity_scores(text)["compound"]), DECIMALS)


_PLAIN: Final = re.compile(r"[\w\s,.'-]*", re.ASCII)
_EDGES: Final = ",.'-_"


def _bare(text: str) -> Iterator[str]:
    for token in text.lower().split():
        yield token
        yield token.strip(_EDGES)


@cache
def _anchors() -> frozenset[str]:
    """Words without which a text scores 0: most turns have none of them, and need not be scored."""
    analyzer = _analyzer()
    phrases = (phrase.split(" ", 1)[0] for phrase in chain(analyzer.multiword, analyzer.idioms))
    return frozenset(chain(analyzer.lexicon, phrases))


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
