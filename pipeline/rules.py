"""The rules of the dialogue, put together from their files: weights, and the words of each language."""

from __future__ import annotations

import hashlib
import re
from codecs import BOM_UTF8
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.dialogue.rules import PlainRules, Rules, WeightedRules, Weights
from pipeline.dialogue.vocabulary import PHRASES, Vocabulary, spoken
from schemas.annotated import RulesName
from schemas.errors import Misconfigured

VERSION = "product-2"

LANGUAGES = ("en", "es", "de", "fr")
"""In this order: where a turn's words are of none more than of another, the first is taken."""

_OURS = files("pipeline.dialogue")

T = TypeVar("T")


def rules(name: RulesName, *, weights: Path | None = None, vocabularies: Path | None = None) -> Rules:
    """The rules of that name.

    weights : a file instead of ours. vocabularies : a folder of files such as `en.toml`, whose words are added to ours,
    or make up a language that we don't have. With either, the version ends with a hash of what they hold, so that rows
    tell. Raises Misconfigured when a file can't be read.
    """
    if name == "plain":
        return PlainRules()
    theirs = hashlib.sha256()
    own = (_OURS / "weights" / "overlap.json").read_bytes()
    if weights is not None:
        own = _read(weights)
        theirs.update(own)
    for path in _files(vocabularies):
        theirs.update(path.stem.encode() + b"\0" + _read(path))
    is_ours = weights is None and vocabularies is None
    return WeightedRules(
        _decoded(own, Weights, str(weights or "overlap.json"), toml=False),
        read_vocabularies(vocabularies),
        version=VERSION if is_ours else f"{VERSION}+{theirs.hexdigest()[:8]}",
    )


def read_vocabularies(folder: Path | None = None) -> dict[str, Vocabulary]:
    """Ours by language, with what the files of a folder add. Raises Misconfigured when one can't be read."""
    ours = ((_OURS / "vocabularies" / f"{language}.toml") for language in LANGUAGES)
    languages = {
        language: _decoded(file.read_bytes(), Vocabulary, file.name, toml=True)
        for language, file in zip(LANGUAGES, ours, strict=True)
    }
    for path in _files(folder):
        if not _LANGUAGE.fullmatch(path.stem):
            raise Misconfigured(f"{path}: is named after no language; name it by a primary subtag, such as pt.toml")
        more = _checked(_decoded(_read(path).removeprefix(BOM_UTF8), Vocabulary, str(path), toml=True), path)
        languages[path.stem] = languages[path.stem] | more if path.stem in languages else more
    return languages


_LANGUAGE = re.compile("[a-z]{2,8}")


def _checked(vocabulary: Vocabulary, path: Path) -> Vocabulary:
    """Raises Misconfigured for what no turn's words could ever be."""
    for name, words in msgspec.structs.asdict(vocabulary).items():
        for word in sorted(words):
            said = spoken(word)
            if not said or " ".join(said) != word or (len(said) > 1 and name not in PHRASES):
                raise Misconfigured(
                    f"{path}: {name} has {word!r}; words are in lower case, without punctuation around them, and "
                    f"several only in {' and '.join(PHRASES)}"
                )
    return vocabulary


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise Misconfigured(f"{folder}: is no folder; name one with files such as en.toml, or leave it out")
    return sorted(folder.glob("*.toml"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: can't be read: {error.strerror or error}") from None


def _decoded(data: bytes, kind: type[T], name: str, *, toml: bool) -> T:
    decode = msgspec.toml.decode if toml else msgspec.json.decode
    try:
        return decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}: {error}") from None
