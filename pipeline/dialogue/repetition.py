"""Whether somebody says the same thing again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pipeline.dialogue.spurts import Spurt
from pipeline.dialogue.vocabulary import spoken

WITHIN_MS = 60_000
"""What was said longer ago is not repeated but said another time."""

FEWEST_WORDS = 4
"""Different ones: "yes please" comes back without anybody having been misheard."""

SAME_SHARE = 0.75
"""Of the different words of both, those that are in both (Jaccard 1912): one word in eight may be another."""


def is_repetition(spurt: Spurt, before: Sequence[Spurt]) -> bool:
    """Whether a spurt says nearly the same as another of its speaker that began up to a minute before.

    before : the speaker's spurts before it, in order. Stretches of one turn are no repetition of each other.
    """
    turns = {utterance.turn_id for utterance in spurt.utterances}
    words = _words(spurt)
    if len(words) < FEWEST_WORDS:
        return False
    for earlier in reversed(before):
        if earlier.start < spurt.start - WITHIN_MS:
            return False
        said = earlier.utterances
        others = _different(said[0].text) if len(said) == 1 else _words(earlier)
        if len(others) < FEWEST_WORDS:
            continue
        if SAME_SHARE * max(len(words), len(others)) > min(len(words), len(others)):
            continue
        if len(words & others) < SAME_SHARE * len(words | others):
            continue
        if turns.isdisjoint(utterance.turn_id for utterance in earlier.utterances):
            return True
    return False


def _words(spurt: Spurt) -> frozenset[str]:
    if len(spurt.utterances) == 1:
        return _different(spurt.utterances[0].text)
    return frozenset().union(*(_different(text) for text in {one.text for one in spurt.utterances}))


@lru_cache(4096)
def _different(text: str | None) -> frozenset[str]:
    return frozenset(spoken(text))
