"""Which class an overlap has.

The plain rules are the simplest defensible ones from intervals and words alone: the baseline that finer ones are
measured against. Literature: [SSJ74] Sacks, Schegloff & Jefferson, Language 50; [LT15] Levinson & Torreira, Front.
Psychol. 6:731; [FDB] Full-Duplex-Bench, arXiv 2503.04721.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pipeline.dialogue.lexicon import may_be_backchannel
from pipeline.dialogue.overlap import Pair
from pipeline.dialogue.spurts import Spurt, Voice
from schemas.annotated import OverlapClass

CONTEXT_MS = 10_000
"""How far before and after its start an overlap's class may depend on speech that touches neither of its spurts."""

INTERRUPTION_MS = 300
"""Longer than the usual terminal overlap at a transition place [SSJ74, LT15]."""

SIMULTANEOUS_START_MS = 200
"""A reaction takes that long [LT15]: whoever starts closer than this did not hear the other yet."""

BACKCHANNEL_MS = 1_000
"""A backchannel's whole spurt is shorter."""


class Rules(Protocol):
    """version : rises when the same turns would be classed otherwise."""

    version: str

    def class_of(self, pair: Pair, voices: Mapping[str, Voice]) -> OverlapClass:
        """The class of an overlap; a function of what lies within CONTEXT_MS of its start."""


class PlainRules:
    """The first class that fits: interruption, backchannel, overlap. Definitions: docs/dialogue.md."""

    version = "plain-2"

    def class_of(self, pair: Pair, voices: Mapping[str, Voice]) -> OverlapClass:  # noqa: ARG002 - others look around
        """The class of an overlap, by its times and the overlapper's words."""
        if (
            pair.floor_taken
            and pair.end - pair.start >= INTERRUPTION_MS
            and pair.start - pair.overlapped.start >= SIMULTANEOUS_START_MS
        ):
            return "interruption"
        spurt = pair.overlapper
        if pair.kind == "within" and spurt.end - spurt.start < BACKCHANNEL_MS and _words_allow(spurt):
            return "backchannel"
        return "overlap"


def _words_allow(spurt: Spurt) -> bool:
    """Words count against a backchannel only when all of them are known.

    The stretches of a turn whose words have no times have one text: it counts once.
    """
    texts = dict.fromkeys((utterance.turn_id, utterance.text) for utterance in spurt.utterances)
    known = [text for _, text in texts if text is not None]
    return len(known) < len(texts) or may_be_backchannel(" ".join(known))
