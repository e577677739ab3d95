"""The rules' files: ours, and what users add."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Utterance
from pipeline.rules import LANGUAGES, VERSION, _checked, read_vocabularies, rules
from schemas.errors import Misconfigured


def class_of(chosen: Rules, listener: str, language: str) -> str:
    said = [
        Utterance(0, 9_000, "t1", "a", "one two three four five six seven eight", language),
        Utterance(4_000, 4_300, "t2", "b", listener, language),
    ]
    (event,) = annotate(said, chosen).overlaps
    return event.class_


def test_names_and_versions() -> None:
    assert rules("plain").version == "plain-2"
    assert rules("product").version == VERSION


def test_users_words_are_added_to_ours_and_rows_tell(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text('acknowledgements = ["roger"]\nphrases = ["fair enough"]\n')
    (tmp_path / "it.toml").write_text('acknowledgements = ["certo"]\n')
    theirs = rules("product", vocabularies=tmp_path)
    assert theirs.version.startswith(f"{VERSION}+")
    assert "it" not in LANGUAGES
    for listener, language in (("roger", "en"), ("fair enough", "en"), ("yeah", "en"), ("certo", "it")):
        assert class_of(theirs, listener, language) == "backchannel"
    assert class_of(rules("product"), "roger", "en") != "backchannel"
    (tmp_path / "it.toml").write_text('acknowledgements = ["certo", "ecco"]\n')
    assert rules("product", vocabularies=tmp_path).version != theirs.version


@pytest.mark.parametrize("text", ["acknowledgements = 7", "words = []", "[", "\xff"])
def test_vocabulary_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text(text, encoding="latin-1")
    with pytest.raises(Misconfigured, match=r"en\.toml"):
        rules("product", vocabularies=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'phrases = [""]',
        'acknowledgements = ["Roger"]',
        'acknowledgements = ["fair enough"]',
        'acknowledgements = ["roger!"]',
        'phrases = ["fair  enough"]',
    ],
)
def test_word_that_no_turn_could_have_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text(text)
    with pytest.raises(Misconfigured, match="words are in lower case"):
        rules("product", vocabularies=tmp_path)


@pytest.mark.parametrize("name", ["EN.toml", "pt-BR.toml", "x.toml"])
def test_file_named_after_no_language_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('acknowledgements = ["certo"]')
    with pytest.raises(Misconfigured, match="named after no language"):
        rules("product", vocabularies=tmp_path)


def test_folder_that_is_none_is_refused_and_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is no folder"):
        rules("product", vocabularies=tmp_path / "none")
    (tmp_path / "en.toml").write_bytes(b"\xef\xbb\xbf" + b'acknowledgements = ["roger"]')
    assert class_of(rules("product", vocabularies=tmp_path), "roger", "en") == "backchannel"


def test_our_words_are_such_as_turns_have() -> None:
    for language, vocabulary in read_vocabularies().items():
        _checked(vocabulary, Path(language))


def test_weights_of_a_file_are_taken_and_rows_tell(tmp_path: Path) -> None:
    ours = json.loads((Path(__file__).parents[3] / "pipeline/dialogue/weights/overlap.json").read_text())
    for model in ours["models"].values():
        model["offset"] = {"interruption": 100, "backchannel": 0}
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(ours))
    theirs = rules("product", weights=path)
    assert theirs.version.startswith(f"{VERSION}+")
    assert class_of(theirs, "yeah", "en") == "interruption"


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    with pytest.raises(Misconfigured, match=r"weights\.json: can't be read"):
        rules("product", weights=path)
    path.write_text('{"models": 3}')
    with pytest.raises(Misconfigured, match=r"weights\.json"):
        rules("product", weights=path)
