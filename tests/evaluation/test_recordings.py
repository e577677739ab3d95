"""The recordings are those of the provenance page, with speakers of both sexes in both parts."""

from __future__ import annotations

import hashlib
import re

from tests.evaluation.corpus import FOLDER, turns


def test_every_recording_has_its_provenance() -> None:
    page = (FOLDER / "PROVENANCE.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in {".flac", ".rttm"}}
    assert files.keys() == named.keys()
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == named[name], name


def test_no_speaker_is_in_both_parts_and_both_sexes_are_in_each() -> None:
    parts = {part: {(turn.speaker, turn.sex) for turn in turns() if turn.part == part} for part in ("tune", "report")}
    assert not parts["tune"] & parts["report"]
    for speakers in parts.values():
        assert {sex for _, sex in speakers} == {"f", "m"}
    assert len(parts["tune"] | parts["report"]) >= 8
