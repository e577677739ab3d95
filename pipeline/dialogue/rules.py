"""Which class an overlap has.

The plain rules are the simplest defensible ones from intervals and words alone: the baseline that finer ones are
measured against. The product's own weigh evidence (`pipeline.dialogue.evidence`) by a small linear model that was
fitted on conversations labelled by people, and name what they can't tell. Literature: [SSJ74] Sacks, Schegloff &
Jefferson, Language 50; [FL83] French & Local, "Turn-competitive incomings", J. Pragmatics 7; [LT15] Levinson &
Torreira, Front. Psychol. 6:731; [FDB] Full-Duplex-Bench, arXiv 2503.04721.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import exp
from typing import Final, Literal, NamedTuple, Protocol, get_args

import msgspec
from msgspec import Struct

from pipeline.dialogue.evidence import (
    FROM_SOUND,
    FROM_TIMES,
    FROM_WORDS,
    NO_SOUNDS,
    Sounds,
    evidence,
    sound_evidence,
)
from pipeline.dialogue.lexicon import marks, may_be_backchannel, without_tags
from pipeline.dialogue.overlap import Pair
from pipeline.dialogue.spurts import Spurt, Utterance, Voice
from pipeline.dialogue.vocabulary import Vocabulary, spoken
from schemas.annotated import Competition, Evidence, OverlapBasis, OverlapClass
from schemas.errors import Misconfigured

INTERRUPTION_MS = 300
"""Longer than the usual terminal overlap at a transition place [SSJ74, LT15]."""

SIMULTANEOUS_START_MS = 200
"""A reaction takes that long [LT15]: whoever starts closer than this did not hear the other yet."""

BACKCHANNEL_MS = 1_000
"""A backchannel's whole spurt is shorter."""

TERMINAL_MS = 500
"""Whoever comes in for no longer than this before the other has ended projected that end [SSJ74, LT15]."""

RAISED_Z = 1.0
"""Who competes for the floor comes in louder and higher than otherwise [FL83]; how much is a choice of ours."""

HARDLY_VOICED = 0.05
"""A cough, a breath, a knock: less of it is voiced than of any word."""

MOST_EVIDENCE = 5
LEAST_WEIGHT = 0.1
"""Of the evidence on an overlap, what is kept: the weightiest, in log odds."""


class Judgement(NamedTuple):
    """confidence : the probability of the class; beside it those of the two that the model knows. basis : what was
    known. evidence : the weightiest first. competition : of an interruption. Of the plain rules there are none."""

    class_: OverlapClass
    confidence: float | None = None
    p_interruption: float | None = None
    p_backchannel: float | None = None
    basis: OverlapBasis | None = None
    evidence: tuple[Evidence, ...] = ()
    competition: Competition | None = None


class Rules(Protocol):
    """version : rises when the same turns would be classed otherwise."""

    @property
    def version(self) -> str: ...

    def judge(self, pair: Pair, voices: Mapping[str, Voice], sounds: Sounds = NO_SOUNDS) -> Judgement:
        """The class of an overlap; a function of what lies within `evidence.CONTEXT_MS` of its start, and of how the
        entry's turn sounds."""


class PlainRules:
    """The first class that fits: interruption, backchannel, overlap. Definitions: docs/dialogue.md."""

    version = "plain-2"

    def judge(self, pair: Pair, voices: Mapping[str, Voice], sounds: Sounds = NO_SOUNDS) -> Judgement:  # noqa: ARG002 - others look around
        """The class of an overlap, by its times and the overlapper's words."""
        if (
            pair.floor_taken
            and pair.end - pair.start >= INTERRUPTION_MS
            and pair.start - pair.overlapped.start >= SIMULTANEOUS_START_MS
        ):
            return Judgement("interruption")
        spurt = pair.overlapper
        if pair.kind == "within" and spurt.end - spurt.start < BACKCHANNEL_MS and _words_allow(spurt):
            return Judgement("backchannel")
        return Judgement("overlap")


def _words_allow(spurt: Spurt) -> bool:
    """Words count against a backchannel only when all of them are known.

    The stretches of a turn whose words have no times have one text: it counts once.
    """
    texts = dict.fromkeys((utterance.turn_id, utterance.text) for utterance in spurt.utterances)
    known = [text for _, text in texts if text is not None]
    return len(known) < len(texts) or may_be_backchannel(" ".join(known))


Judged = Literal["interruption", "backchannel"]
JUDGED: Final = dict.fromkeys(get_args(Judged)).keys()

GREATEST_WEIGHT: Final = 1_000.0


class Weight(Struct, frozen=True, forbid_unknown_fields=True):
    """What a piece of evidence adds to the log odds of each class against neither. mean : of it where it was fitted."""

    interruption: float
    backchannel: float
    mean: float


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """Multinomial logistic regression against "neither". offset : added to a class's log odds before the greatest wins.

    The probabilities are calibrated, so the rare class would hardly ever be the likeliest: the offsets balance
    precision and recall, and leave the probabilities alone.
    """

    bias: dict[Judged, float]
    offset: dict[Judged, float]
    weights: dict[str, Weight]


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """The fitted models: one for words and times, one for times alone; and what sound adds to either, not fitted."""

    fitted_on: str
    models: dict[OverlapBasis, Model]
    sound: dict[str, Weight] = {}

    def check(self) -> None:
        """Raises Misconfigured when a model is missing, or weighs what is no evidence."""
        known = {"words": FROM_TIMES.keys() | FROM_WORDS.keys(), "times": FROM_TIMES.keys()}
        for basis, names in known.items():
            if basis not in self.models:
                raise Misconfigured(f"weights: no model for {basis}; the file has {', '.join(self.models) or 'none'}")
            model = self.models[basis]
            if wrong := model.weights.keys() - names:
                raise Misconfigured(f"weights: the model for {basis} weighs {', '.join(sorted(wrong))}: no evidence")
            if model.bias.keys() != JUDGED or model.offset.keys() != JUDGED:
                raise Misconfigured(f"weights: the model for {basis} needs bias and offset of {' and '.join(JUDGED)}")
            numbers = [*model.bias.values(), *model.offset.values(), *_numbers(model.weights)]
            if max(abs(number) for number in numbers) > GREATEST_WEIGHT:
                raise Misconfigured(f"weights: the model for {basis} has one over {GREATEST_WEIGHT:g}: no log odds")
        if wrong := self.sound.keys() - FROM_SOUND.keys():
            raise Misconfigured(f"weights: sound weighs {', '.join(sorted(wrong))}: no evidence of sound")
        if max((abs(number) for number in _numbers(self.sound)), default=0.0) > GREATEST_WEIGHT:
            raise Misconfigured(f"weights: sound has one over {GREATEST_WEIGHT:g}: no log odds")


def _numbers(weights: Mapping[str, Weight]) -> list[float]:
    return [number for one in weights.values() for number in msgspec.structs.astuple(one)]


class WeightedRules:
    """The product's rules.

    vocabularies : by language, the primary subtag. Where a turn declares no language, the one that most of the words
    belong to is taken, of equal ones the first.
    """

    def __init__(self, weights: Weights, vocabularies: Mapping[str, Vocabulary], *, version: str) -> None:
        weights.check()
        self.version = version
        self.models = weights.models
        self.sound = weights.sound
        self._weights = {basis: model.weights | weights.sound for basis, model in weights.models.items()}
        self._vocabularies = vocabularies
        self._laughter = frozenset().union(*(one.laughter for one in vocabularies.values()))
        self._marks = frozenset().union(*(one.marks for one in vocabularies.values()))
        self._all_words = [(vocabulary, vocabulary.words) for vocabulary in vocabularies.values()]

    def vocabulary_of(self, language: str, words: Sequence[str]) -> Vocabulary | None:
        """That of a declared language, else the one that most of the words belong to; None when there is none."""
        if language:
            return self._vocabularies.get(language)
        hits = [sum(word in known for word in words) for _, known in self._all_words]
        most = max(hits)
        return self._all_words[hits.index(most)][0] if most else None

    def judge(self, pair: Pair, voices: Mapping[str, Voice], sounds: Sounds = NO_SOUNDS) -> Judgement:
        """The likeliest class by the evidence; where it is neither, what the times say, or `undecided`."""
        if self._is_noise(pair.overlapper.utterances[0]):
            return Judgement("noise")
        found, with_words = evidence(pair, voices, self.vocabulary_of)
        basis: OverlapBasis = "words" if with_words else "times"
        model = self.models[basis]
        weights = model.weights
        heard = sound_evidence(pair, sounds)
        if heard:
            found |= heard
            weights = self._weights[basis]
        interruption, backchannel = model.bias["interruption"], model.bias["backchannel"]
        for name, weight in weights.items():
            value = found.get(name)
            if value:
                interruption += weight.interruption * value
                backchannel += weight.backchannel * value
        # Against the greatest of them: no weights are too large.
        greatest = max(0.0, interruption, backchannel)
        odds = exp(interruption - greatest), exp(backchannel - greatest), exp(-greatest)
        whole = sum(odds)
        p_interruption, p_backchannel, p_neither = odds[0] / whole, odds[1] / whole, odds[2] / whole
        for_interruption = interruption + model.offset["interruption"]
        for_backchannel = backchannel + model.offset["backchannel"]
        likelier: Judged = "interruption" if for_interruption >= for_backchannel else "backchannel"
        if max(for_interruption, for_backchannel) > 0:
            class_: OverlapClass = likelier
            confidence, sign = p_interruption if likelier == "interruption" else p_backchannel, 1
        else:
            class_, confidence, sign = _neither(pair), p_neither, -1
        weightiest = _weightiest(weights, found, likelier, sign)
        competition = _competition(pair, found) if class_ == "interruption" else None
        return Judgement(class_, confidence, p_interruption, p_backchannel, basis, weightiest, competition)

    def _is_noise(self, entry: Utterance) -> bool:
        """Whether what comes in is no speech: laughter by its marks, or by its audio hardly anything with a pitch."""
        if entry.text is None:
            return entry.voiced is not None and entry.voiced < HARDLY_VOICED
        if entry.words is None or len(entry.words) > MOST_LAUGHTER:
            return False
        outside, inside = marks(without_tags(entry.words))
        said = spoken(outside)
        if not said and not inside:
            return False
        is_laughter = all(word in self._laughter or _LAUGHTER.fullmatch(word) for word in said)
        return is_laughter and all(self._marks.issuperset(spoken(mark)) for mark in inside)


_LAUGHTER = re.compile(r"(?:h[aeiu]){2,}h?|h[aeiu](?:-h[aeiu])+")
MOST_LAUGHTER = 100
"""Characters: longer laughter has words in it."""


def _competition(pair: Pair, found: Mapping[str, float]) -> Competition | None:
    """Whether who interrupts wants the floor, or speaks with the other; None where neither voice nor words tell.

    By the voice where it is known: raised it competes [FL83]; else who takes the floor from a turn that its words leave
    unfinished does. Who comes in without either, and lets the other have the floor, does not.
    """
    heard = [found[name] for name in FROM_SOUND if name in found]
    if heard:
        if sum(heard) / len(heard) >= RAISED_Z:
            return "competitive"
        return None if pair.floor_taken else "cooperative"
    if pair.floor_taken:
        return "competitive" if any(found.get(name) for name in UNFINISHED) else None
    return "cooperative" if found.get("entry_first_acknowledge") else None


UNFINISHED = ("held_ends_conjunction", "held_ends_determiner", "held_ends_pronoun", "held_ends_filler")


def _neither(pair: Pair) -> OverlapClass:
    if pair.start - pair.overlapped.start < SIMULTANEOUS_START_MS:
        return "dual_start"
    if pair.kind == "between" and pair.end - pair.start <= TERMINAL_MS:
        return "terminal_overlap"
    return "undecided"


def _weightiest(
    weights: Mapping[str, Weight], found: Mapping[str, float], judged: Judged, sign: int
) -> tuple[Evidence, ...]:
    """What spoke most for the class (with sign -1 for neither), and most against it."""
    of_interruption = judged == "interruption"
    added = []
    for name, weight in weights.items():
        if name in found:
            by = weight.interruption if of_interruption else weight.backchannel
            odds = round(sign * by * (found[name] - weight.mean), 2)
            if abs(odds) >= LEAST_WEIGHT:
                added.append((-abs(odds), name, odds))
    added.sort()
    return tuple(Evidence(name, odds) for _, name, odds in added[:MOST_EVIDENCE])
