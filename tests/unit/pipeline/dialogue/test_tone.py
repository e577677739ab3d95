"""Sentiment of English turns, and of no others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vader import SentimentIntensityAnalyzer

from pipeline.dialogue.tone import tone
from pipeline.dialogue.vocabulary import Vocabulary
from pipeline.rules import read_vocabularies
from schemas.turn import ReceivedTurn
from tests.records import received_turn

TONE = tone(read_vocabularies())
SENTIMENT = TONE.sentiment


def turn(text: str, language: str | None = None) -> ReceivedTurn:
    found = received_turn(text=text)
    return ReceivedTurn(**{name: getattr(found, name) for name in found.__struct_fields__} | {"language": language})


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("i am very angry about this", -1),
        ("this is a terrible service and i hate it", -1),
        ("it is not good at all", -1),
        ("thank you so much that is great", 1),
        ("the invoice is from monday", 0),
        ("this is the third time i am calling", 0),  # says what it says without a word of feeling: it is not told
    ],
)
def test_sign_is_that_of_the_words(text: str, sign: int) -> None:
    found = SENTIMENT(turn(text))
    assert found is not None
    assert (found > 0) - (found < 0) == sign


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", None),
        ("   ", "en"),
        ("[laughter]", "en"),
        ("... ?!", "en"),
        ("die rechnung ist falsch und das war ein fehler", None),
        ("la factura es un error y no me gusta", None),
        ("la facture est fausse et je ne suis pas content", None),
        ("i am very angry", "de"),
        ("zzz", None),
    ],
)
def test_what_has_no_words_or_is_not_english_has_none(text: str, language: str | None) -> None:
    assert SENTIMENT(turn(text, language)) is None


def test_declared_language_counts_whatever_the_words() -> None:
    assert SENTIMENT(turn("fantastic", "en-GB")) is not None
    assert SENTIMENT(turn("fantastic", "EN")) == SENTIMENT(turn("fantastic", "en"))


def test_laughter_is_no_word() -> None:
    assert SENTIMENT(turn("[laughter] the order is here")) == SENTIMENT(turn("the order is here"))


@given(st.text(max_size=300), st.sampled_from([None, "en", "de"]))
def test_any_text_has_one_within_bounds_or_none(text: str, language: str | None) -> None:
    found = SENTIMENT(turn(text, language))
    assert found is None or -1 <= found <= 1


def test_long_text_takes_no_longer_than_its_beginning() -> None:
    beginning = "i am not happy with it " * 1_000
    assert SENTIMENT(turn(beginning * 4)) == SENTIMENT(turn(beginning[:10_000]))


ANALYZER = SentimentIntensityAnalyzer()
PLAIN_WORDS = [
    "the",
    "order",
    "kind",
    "of",
    "but",
    "not",
    "to",
    "for",
    "so",
    "yes",
    "NO",
    "Don't",
    "i'm",
    "o'clock",
    "2nd",
]
PIECES = st.sampled_from(
    [
        *PLAIN_WORDS,
        *list(ANALYZER.lexicon)[::40],
        *ANALYZER.idioms,
        *list(ANALYZER.multiword)[:40],
        ":)",
        "!",
        "??",
        "…",
        "😀",
    ]
)
GLUE = st.sampled_from([" ", "  ", ", ", ". ", "! ", "-", " -", "'", "_", "\n"])


@settings(max_examples=500)
@given(st.lists(st.tuples(PIECES, GLUE), max_size=12), st.booleans())
def test_sentiment_is_the_librarys(pieces: list[tuple[str, str]], upper: bool) -> None:
    """Also where no word is looked up, because none could have any."""
    text = "order " + "".join(piece + glue for piece, glue in pieces)
    text = text.upper() if upper else text
    found = SENTIMENT(turn(text, "en"))
    assert found == round(ANALYZER.polarity_scores(text)["compound"], 3)


@pytest.mark.parametrize(
    "text",
    [
        "Can I speak to a human, please?",
        "I'LL TRANSFER YOU now",
        "quiero hablar con una persona",
        "ich möchte mit einem Menschen sprechen",
        "je vous transfère",
    ],
)
def test_handing_the_call_to_a_person_is_heard(text: str) -> None:
    assert TONE.transfers(turn(text))
    assert not TONE.not_understood(turn(text))


@pytest.mark.parametrize(
    "text", ["", "transfer the money", "speak to a humanist", "[transfer you]", "is a human rights issue"]
)
def test_other_talk_of_transfers_and_humans_is_not(text: str) -> None:
    assert not TONE.transfers(turn(text))


def test_what_agents_say_that_did_not_understand_is_heard() -> None:
    assert TONE.not_understood(turn("Sorry, I didn’t catch that."))
    assert not TONE.not_understood(turn("I did catch that."))
    assert not tone({"en": Vocabulary()}).not_understood(turn("Sorry, I didn't catch that."))
