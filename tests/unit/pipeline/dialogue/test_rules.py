"""The product's rules: what they make of plain cases, and what they say of how they came to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.evidence import FROM_TIMES, FROM_WORDS, Sound, evidence
from pipeline.dialogue.overlap import OverlapEvent, pairs
from pipeline.dialogue.rules import LEAST_WEIGHT, MOST_EVIDENCE, Weight, WeightedRules, Weights
from pipeline.dialogue.spurts import Utterance
from pipeline.dialogue.timeline import Timeline
from pipeline.dialogue.vocabulary import spoken
from pipeline.rules import read_vocabularies, rules
from schemas.errors import Misconfigured


def product() -> WeightedRules:
    found = rules("product")
    assert isinstance(found, WeightedRules)
    return found


PRODUCT = product()
VOCABULARIES = list(read_vocabularies().values())

Line = tuple[str, int, int, str | None]
"""Participant, start, end, text."""


def events(*lines: Line, language: str = "") -> Sequence[OverlapEvent]:
    said = [Utterance(start, end, f"t{i}", who, text, language) for i, (who, start, end, text) in enumerate(lines)]
    return annotate(said, PRODUCT).overlaps


def class_of(*lines: Line, language: str = "") -> str:
    (event,) = events(*lines, language=language)
    return event.class_


@pytest.mark.parametrize(
    ("language", "listener"),
    [
        ("en", "mm-hmm"),
        ("en", "yeah"),
        ("en", "oh really"),
        ("es", "claro"),
        ("es", "ajá"),
        ("de", "genau"),
        ("fr", "d'accord"),
    ],
)
def test_listeners_word_inside_a_turn_is_a_backchannel(language: str, listener: str) -> None:
    held = ("a", 0, 9_000, "one two three four five six seven eight nine ten")
    assert class_of(held, ("b", 4_000, 4_400, listener), language=language) == "backchannel"


@pytest.mark.parametrize(
    ("language", "held", "entry"),
    [
        ("en", "and what I wanted to ask you about the", "no listen that is not how it works at all"),
        ("es", "y lo que quería preguntar es si la", "no mire eso no funciona así de ninguna manera"),
        ("de", "und was ich dazu noch fragen wollte ist ob der", "nein hören Sie so geht das auf keinen Fall"),
        ("fr", "et ce que je voulais demander c'est si la", "non écoutez ça ne marche pas du tout comme ça"),
    ],
)
def test_turn_cut_off_in_its_sentence_is_interrupted(language: str, held: str, entry: str) -> None:
    assert class_of(("a", 0, 5_000, held), ("b", 4_300, 8_000, entry), language=language) == "interruption"


def test_interruption_says_what_spoke_for_it_and_how_likely_it_is() -> None:
    (event,) = events(("a", 0, 5_000, "and what I wanted to ask is the"), ("b", 4_300, 8_000, "no listen to me first"))
    assert event.basis == "words"
    assert event.confidence is not None
    assert 0 < event.confidence < 1
    assert event.spoken_share == 0.86
    assert event.evidence[0].name == "held_ends_determiner"
    assert event.evidence[0].weight > 0


def test_without_words_the_times_have_to_do_and_it_is_said() -> None:
    (event,) = events(("a", 0, 9_000, None), ("b", 4_000, 4_300, None))
    assert event.basis == "times"
    assert event.class_ == "backchannel"
    assert {one.name for one in event.evidence} <= FROM_TIMES.keys()


def test_both_begin_at_once() -> None:
    assert class_of(("a", 0, 3_000, "I think the order"), ("b", 150, 3_500, "well the order number is")) == "dual_start"


def test_coming_in_at_an_end_that_was_coming_anyway() -> None:
    held = ("a", 0, 3_000, "so that is all I have to say today")
    assert class_of(held, ("b", 2_800, 6_000, "then let us look at your contract")) == "terminal_overlap"


def test_what_is_neither_is_undecided() -> None:
    held = ("a", 0, 9_000, "I was saying we would come tomorrow and bring the parts and then mount them all")
    assert class_of(held, ("b", 4_000, 6_000, "tomorrow morning around ten would suit me best")) == "undecided"


def test_language_that_is_not_declared_is_that_of_the_words() -> None:
    """ja is a listener's word in German only, and nothing but the held turn tells that this is German."""
    held = ("a", 0, 9_000, "und dann habe ich mir gedacht dass das so nicht gehen kann weil es der")
    (event,) = events(held, ("b", 4_000, 4_300, "ja"))
    assert event.class_ == "backchannel"
    assert events(held, ("b", 4_000, 4_300, "ja"), language="de")[0].confidence == event.confidence


@pytest.mark.parametrize(
    ("held", "entry", "language"),
    [
        ("allora le mandiamo il pacco domani", "certo", "it"),  # declared, and we have no words of it
        ("mañana le enviamos el paquete", "claro", "pt"),
        ("zlxq vprt", "grmbl", ""),  # of no language that we have
    ],
)
def test_words_that_we_do_not_know_are_no_evidence(held: str, entry: str, language: str) -> None:
    (event,) = events(("a", 0, 5_000, held), ("b", 2_500, 2_900, entry), language=language)
    (without,) = events(("a", 0, 5_000, None), ("b", 2_500, 2_900, None))
    assert event.basis == "times"
    assert event._replace(turn_id="") == without._replace(turn_id="")


def test_text_of_a_turn_with_pauses_and_no_word_times_is_no_evidence() -> None:
    """Nobody knows what was said before the pause."""
    text = "that will be done for you tomorrow and then we can see about the"
    held = [Utterance(start, end, "t0", "a", text, "en", "", 2) for start, end in ((0, 3_000), (4_000, 9_000))]
    entry = Utterance(2_500, 4_500, "t1", "b", "then let us look at your contract", "en")
    assert [event.basis for event in annotate([*held, entry], PRODUCT).overlaps] == ["times", "times"]


@pytest.mark.parametrize("listener", ["¡sí!", "« oui »", "„ja“", "“okay”", "okay–", "d’accord", "sí", "«Claro»..."])
def test_punctuation_of_any_language_is_none_of_the_word(listener: str) -> None:
    (word,) = spoken(listener)
    assert any(word in vocabulary.words | vocabulary.phrases for vocabulary in VOCABULARIES)


def test_probabilities_stand_beside_the_class() -> None:
    (event,) = events(("a", 0, 9_000, "one two three four"), ("b", 4_000, 4_400, "mm-hmm"))
    assert event.p_backchannel == event.confidence
    assert event.p_interruption is not None
    assert event.p_backchannel is not None
    assert event.p_interruption + event.p_backchannel < 1


TEXTS = st.sampled_from(
    [None, "yeah", "uh-huh", "so what I wanted to say is the", "no wait", "um", "good great [noise]"]
)
LINES = st.builds(
    lambda who, at, length, text: (who, 100 * at, 100 * at + length, text),
    st.sampled_from("abc"),
    st.integers(0, 60),
    st.sampled_from([50, 200, 500, 1_500, 12_000]),
    TEXTS,
)


@given(st.lists(LINES, max_size=8), st.integers(-(10**12), 10**12))
def test_every_overlap_has_a_class_a_probability_and_its_weightiest_evidence(lines: list[Line], by: int) -> None:
    found = events(*lines)
    for event in found:
        assert event.class_ in ("interruption", "backchannel", "dual_start", "terminal_overlap", "undecided")
        assert event.confidence is not None
        assert 0 < event.confidence < 1
        assert 0 <= event.spoken_share <= 1
        weights = [abs(one.weight) for one in event.evidence]
        assert weights == sorted(weights, reverse=True)
        assert len(weights) <= MOST_EVIDENCE
        assert all(weight >= LEAST_WEIGHT for weight in weights)
    moved = events(*((who, start + by, end + by, text) for who, start, end, text in lines))
    assert [event._replace(start=0, end=0) for event in moved] == [event._replace(start=0, end=0) for event in found]


@given(st.lists(LINES, max_size=8))
def test_evidence_is_all_that_is_named(lines: list[Line]) -> None:
    timeline = Timeline(PRODUCT)
    timeline.update({f"t{i}": [Utterance(s, e, f"t{i}", who, text)] for i, (who, s, e, text) in enumerate(lines)})
    for pair in pairs(timeline.voices, 0, 100_000):
        found, worded = evidence(pair, timeline.voices, PRODUCT.vocabulary_of)
        assert found.keys() == (FROM_TIMES | FROM_WORDS if worded else FROM_TIMES).keys()


def test_what_is_said_much_later_moves_no_judgement() -> None:
    lines = [("a", 0, 30_000, None), ("b", 4_000, 4_500, None)]
    (before,) = events(*lines)
    (after, *_) = events(*lines, ("c", 14_500, 16_000, None), ("a", 31_000, 40_000, None))
    assert after == before


def test_weights_for_what_is_no_evidence_are_refused() -> None:
    weights = msgspec.json.decode(b'{"fitted_on": "", "models": {}}', type=object)
    assert isinstance(weights, dict)
    with pytest.raises(Misconfigured, match="no model for words; the file has none"):
        _ruled(weights)
    empty: dict[str, Any] = {"bias": {}, "offset": {}, "weights": {}}
    weights["models"] = {"words": empty, "times": empty}
    with pytest.raises(Misconfigured, match="needs bias and offset of interruption and backchannel"):
        _ruled(weights)
    model: dict[str, Any] = {
        "bias": {"interruption": 0, "backchannel": 0},
        "offset": {"interruption": 0, "backchannel": 0},
    }
    one = {"interruption": 1, "backchannel": 1, "mean": 0}
    weights["models"] = {"words": model | {"weights": {}}, "times": model | {"weights": {"held_words": one}}}
    with pytest.raises(Misconfigured, match="the model for times weighs held_words: no evidence"):
        _ruled(weights)
    weights["models"]["times"] = model | {"weights": {"solo_500": one | {"interruption": 1e308}}}
    with pytest.raises(Misconfigured, match="has one over 1000: no log odds"):
        _ruled(weights)


def test_great_weights_overflow_nothing() -> None:
    one = {"interruption": 1_000, "backchannel": -1_000, "mean": 0}
    zero = {"interruption": 0, "backchannel": 0}
    model = {"bias": zero | {"interruption": 1_000}, "offset": zero, "weights": {"held_goes_on": one}}
    chosen = _ruled({"fitted_on": "", "models": {"words": model, "times": model}})
    said = [Utterance(0, 9_000, "t0", "a", None), Utterance(4_000, 4_400, "t1", "b", None)]
    assert annotate(said, chosen).overlaps[0].confidence == 1


def _ruled(weights: object) -> WeightedRules:
    from pipeline.dialogue.rules import Weights  # noqa: PLC0415

    return WeightedRules(msgspec.convert(weights, Weights), {}, version="0")


HELD = ("a", 0, 5_000, "and what I wanted to ask you about the")


@pytest.mark.parametrize(
    ("entry", "language"),
    [
        ("haha", ""),
        ("Ha ha ha!", "en"),
        ("(laughs)", ""),
        ("*coughs*", "en"),
        ("<noise>", ""),
        ("♪♪", ""),
        ("hihi [laughter]", "de"),
        ("jajaja", "es"),
        ("hahahahaha", ""),
        ("haha (laughs)", "en"),
        ("lol", "en"),
        ("(clears throat)", ""),
        ("(räuspert sich)", "de"),
    ],
)
def test_laughter_and_other_marks_are_noise_and_count_for_nothing(entry: str, language: str) -> None:
    found = annotate(
        [
            Utterance(0, 5_000, "t0", "a", HELD[3], language, "user"),
            Utterance(4_000, 8_000, "t1", "b", entry, language, "agent"),
        ],
        PRODUCT,
    )
    (event,) = found.overlaps
    assert (event.class_, event.confidence, event.basis, event.evidence) == ("noise", None, None, ())
    assert (found.interruptions, found.backchannels, found.faults) == (0, 0, [])


@pytest.mark.parametrize(
    "entry", ["ja", "haha no wait", "(no", "...", "[unintelligible]", "<unk>", "ha ha that is not what I said"]
)
def test_words_are_no_noise(entry: str) -> None:
    assert class_of(HELD, ("b", 4_300, 8_000, entry)) != "noise"


@pytest.mark.parametrize(
    ("text", "voiced", "is_noise"),
    [(None, 0.04, True), (None, 0.05, False), (None, None, False), ("no wait", 0.0, False)],
)
def test_what_has_no_words_and_hardly_a_pitch_is_noise(text: str | None, voiced: float | None, is_noise: bool) -> None:
    held = Utterance(0, 5_000, "t0", "a", "and what I wanted to ask you about the")
    entry = Utterance(4_300, 8_000, "t1", "b", text, voiced=voiced)
    (event,) = annotate([held, entry], PRODUCT).overlaps
    assert (event.class_ == "noise") == is_noise


def heard(sound: Sound | None, *lines: Line) -> OverlapEvent:
    """The overlap of two turns, of which the second sounds like that."""
    timeline = Timeline(PRODUCT)
    said = {f"t{i}": [Utterance(start, end, f"t{i}", who, text)] for i, (who, start, end, text) in enumerate(lines)}
    timeline.update(said, {} if sound is None else {"t1": sound})
    (event,) = timeline.overlaps
    return event


ENTRY = ("b", 4_300, 8_000, "no listen to me first")


def test_raised_voice_speaks_for_an_interruption_and_says_so() -> None:
    plain, raised, lowered = (heard(sound, HELD, ENTRY) for sound in (None, Sound(2.0, 2.0), Sound(-2.0, -2.0)))
    assert plain.p_interruption is not None
    assert raised.p_interruption is not None
    assert lowered.p_interruption is not None
    assert raised.p_interruption > plain.p_interruption > lowered.p_interruption
    shown = heard(Sound(9.0, 9.0), HELD, ("b", 4_300, 8_000, None))
    assert {one.name: one.weight for one in shown.evidence}.items() >= {
        "entry_louder": 0.75,
        "entry_higher": 0.75,
    }.items()
    assert not {"entry_louder", "entry_higher"} & {one.name for one in plain.evidence}


@pytest.mark.parametrize(
    ("sound", "entry", "competition"),
    [
        (Sound(2.0, 1.0), ENTRY, "competitive"),
        (Sound(2.0, None), ENTRY, "competitive"),
        (Sound(0.0, 0.5), ENTRY, None),  # takes the floor, and does not raise the voice
        (Sound(0.0, 0.5), ("b", 4_300, 4_990, "no listen to me first"), "cooperative"),
        (None, ENTRY, "competitive"),  # takes the floor from a turn that ends with "the"
    ],
)
def test_who_interrupts_competes_or_not(sound: Sound | None, entry: Line, competition: str | None) -> None:
    event = heard(sound, HELD, entry)
    assert (event.class_, event.competition) == ("interruption", competition)


def test_nothing_but_an_interruption_competes() -> None:
    event = heard(Sound(9.0, 9.0), ("a", 0, 9_000, "one two three four five six"), ("b", 4_000, 4_400, "mm-hmm"))
    assert (event.class_, event.competition) == ("backchannel", None)


def test_turn_that_sounds_otherwise_later_is_judged_again() -> None:
    timeline = Timeline(PRODUCT)
    said = {
        f"t{i}": [Utterance(start, end, f"t{i}", who, text)] for i, (who, start, end, text) in enumerate((HELD, ENTRY))
    }
    timeline.update(said)
    (before,) = timeline.overlaps
    assert timeline.update({}, {"t1": Sound(3.0, 3.0), "t9": Sound(1.0, 1.0)}) == {"t1"}
    (after,) = timeline.overlaps
    assert after == heard(Sound(3.0, 3.0), HELD, ENTRY) != before
    assert timeline.update({}, {"t0": Sound(3.0, 3.0)}) == set()


def test_weights_of_sound_are_checked() -> None:
    weights = Weights("test", PRODUCT.models, {"entry_furious": Weight(1.0, 0.0, 0.0)})
    with pytest.raises(Misconfigured, match="sound weighs entry_furious: no evidence of sound"):
        WeightedRules(weights, read_vocabularies(), version="test")
    weights = Weights("test", PRODUCT.models, {"entry_louder": Weight(1e9, 0.0, 0.0)})
    with pytest.raises(Misconfigured, match="sound has one over 1000"):
        WeightedRules(weights, read_vocabularies(), version="test")
