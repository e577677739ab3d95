"""Words that tell what an overlap is, by language: what listeners say, and what a turn does not end with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Annotated

from msgspec import Meta, Struct

from pipeline.dialogue.lexicon import without_tags

ENDS_CHARACTERS = 600
"""Of a longer text only so much of its beginning and of its end is looked at."""

PHRASES = ("phrases", "misunderstandings", "transfers")
"""Lists of several words each."""

_EDGES = re.compile(r"^[^\w]+|[^\w-]+$")
_PLAIN = str.maketrans({"_": None, "’": "'", "‘": "'"})


class Vocabulary(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lower-case words of one language."""

    continuers: Annotated[frozenset[str], Meta(description="No content of their own: mm-hmm.")] = frozenset()
    acknowledgements: Annotated[frozenset[str], Meta(description="yeah, okay")] = frozenset()
    news: Annotated[frozenset[str], Meta(description="oh, really")] = frozenset()
    assessments: Annotated[frozenset[str], Meta(description="great")] = frozenset()
    phrases: Annotated[frozenset[str], Meta(description="Backchannels of several words: i see.")] = frozenset()
    determiners: Annotated[
        frozenset[str], Meta(description="Also prepositions and adverbs of degree: no turn is complete after one.")
    ] = frozenset()
    conjunctions: frozenset[str] = frozenset()
    pronouns: Annotated[frozenset[str], Meta(description="And auxiliaries.")] = frozenset()
    finals: Annotated[
        frozenset[str],
        Meta(description="Those of the three that a complete turn may end with as well: it, that, there."),
    ] = frozenset()
    fillers: Annotated[frozenset[str], Meta(description="um")] = frozenset()
    markers: Annotated[frozenset[str], Meta(description="What turns begin with: but, well.")] = frozenset()
    misunderstandings: Annotated[
        frozenset[str], Meta(description="What an agent says that did not understand: say that again.")
    ] = frozenset()
    transfers: Annotated[
        frozenset[str], Meta(description="What is said of handing the call to a person: speak to a human.")
    ] = frozenset()
    laughter: Annotated[frozenset[str], Meta(description="As it is spelt, beside haha and the like: lol.")] = (
        frozenset()
    )
    marks: Annotated[
        frozenset[str],
        Meta(description="Words that in round or angle brackets, or between asterisks, mark no speech: laughs."),
    ] = frozenset()

    def __or__(self, other: Vocabulary) -> Vocabulary:
        """The words of both."""
        return Vocabulary(**{name: getattr(self, name) | getattr(other, name) for name in self.__struct_fields__})

    @property
    def words(self) -> frozenset[str]:
        """All of them, phrases and what is no speech left out: what tells the language."""
        no_words = (*PHRASES, "laughter", "marks")
        lists = (getattr(self, name) for name in self.__struct_fields__ if name not in no_words)
        return frozenset(chain.from_iterable(lists))

    def is_function_word(self, word: str) -> bool:
        """Whether what ends with the word is not complete."""
        return word in self.determiners or word in self.conjunctions or word in self.pronouns

    def backchannels(self, said: Sequence[str]) -> int:
        """How many of the words are those of a listener, alone or in a phrase."""
        return sum(self._marked(said))

    def is_backchannel(self, said: Sequence[str]) -> bool:
        """Whether there are words, and all of them a listener's."""
        return bool(said) and all(self._marked(said))

    def is_preface(self, said: Sequence[str]) -> bool:
        """Whether nothing has been said yet: fillers, markers and a listener's words only."""
        marked = self._marked(said)
        return all(
            is_listeners or word in self.fillers or word in self.markers
            for word, is_listeners in zip(said, marked, strict=True)
        )

    def _marked(self, said: Sequence[str]) -> list[bool]:
        found = [
            word in self.acknowledgements or word in self.continuers or word in self.news or word in self.assessments
            for word in said
        ]
        for phrase in self.phrases:
            parts = phrase.split()
            for at in range(len(said) - len(parts) + 1):
                if said[at] == parts[0] and list(said[at : at + len(parts)]) == parts:
                    found[at : at + len(parts)] = [True] * len(parts)
        return found


def spoken(text: str | None) -> tuple[str, ...]:
    """Lower-case words, without tags and edge punctuation; one that breaks off ("th-") is none, o_k is ok."""
    if not text:
        return ()
    if len(text) > 2 * ENDS_CHARACTERS:
        text = text[:ENDS_CHARACTERS] + " " + text[-ENDS_CHARACTERS:]
    return _spoken(text)


@lru_cache(8192)
def _spoken(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFC", without_tags(text)).lower().translate(_PLAIN)
    tokens = (_EDGES.sub("", token) for token in plain.split())
    return tuple(token for token in tokens if token and not token.endswith("-"))
