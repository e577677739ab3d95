"""What of a text is words, and the plain rules' backchannel words (English); the list is that of docs/dialogue.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MAX_WORDS: Final = 2
"""Up to this many words may be any words; more have to be in the lexicon [FDB]."""

BACKCHANNELS: Final = frozenset(
    """
    yeah yes yep yup ya yah mm mmm mhm mm-hm mm-hmm mmhmm hm hmm uh-huh uhuh uh huh um-hum ah aha oh ooh okay ok okey
    right alright sure great good cool fine wow really exactly absolutely true i see got it gotcha indeed of course
    """.split()
)

_TAG = re.compile(r"\[(?!(?:unintelligible|inaudible|unk)\])[^\[\]]*\]", re.IGNORECASE)
_MARK = re.compile(r"\(([^()]*)\)|\*([^*]*)\*|<(?!unk>)([^<>]*)>|([♪♫]+)", re.IGNORECASE)
_TOKEN = re.compile(r"\S+")
_EDGE = ".,;:!?\"'()-~…"


def without_tags(text: str) -> str:
    """The text without what is no speech (`[laughter]`); `[unintelligible]`, `[inaudible]` and `[unk]` are words."""
    return _TAG.sub(" ", text) if "[" in text else text


def marks(text: str) -> tuple[str, list[str]]:
    """The text without what stands in other brackets than tags do, and what that was: (laughs), *coughs*, <noise>, ♪.

    It may be a mark of what is no speech, or words in doubt: what stands in it tells.
    """
    found = ["".join(part or "" for part in mark.groups()) for mark in _MARK.finditer(text)]
    return _MARK.sub(" ", text), found


def words(text: str) -> Iterator[str]:
    """Lower-case words: white-space tokens without tags, edge punctuation stripped, empty ones left out."""
    for token in _TOKEN.finditer(without_tags(text)):
        word = token[0].lower().strip(_EDGE)
        if word:
            yield word


def may_be_backchannel(text: str) -> bool:
    """Whether the words speak for a backchannel: two at the most, or all of them in the lexicon."""
    # Read no further than it takes: a stretch without word times has all the text of its turn.
    others = 0
    for number, word in enumerate(words(text), 1):
        others += word not in BACKCHANNELS
        if number > MAX_WORDS and others:
            return False
    return True
