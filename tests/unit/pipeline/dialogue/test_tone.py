"""Sentiment of English turns, and of no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.tone import tone
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
