"""Every example under schemas/examples is read as its record, strictly, and says the same when written again."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from pipeline.gateway.accept import Limits, accept_event, accept_turn
from pipeline.gateway.personal_data import personal_data_in
from pipeline.storage.rows import call_row, event_row, turn_row
from schemas.annotated import AnnotatedEvent, AnnotatedTurn, CallSummary
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter
from schemas.errors import Refused
from schemas.event import CallEvent, EventType, ReceivedEvent
from schemas.features import Features, numeric_features
from schemas.identity import with_content_hash
from schemas.measured import MeasuredTurn
from schemas.records import ANNOTATED_DECODER, MEASURED_DECODER, RECEIVED_DECODER, SUMMARY_DECODER
from schemas.turn import ReceivedTurn, Turn

EXAMPLES = Path(str(files("schemas") / "examples"))

RECORDS: dict[str, tuple[type[msgspec.Struct], msgspec.json.Decoder[Any]]] = {
    "turn": (Turn, msgspec.json.Decoder(Turn)),
    "call_event": (CallEvent, msgspec.json.Decoder(CallEvent)),
    "received_turn": (ReceivedTurn, RECEIVED_DECODER),
    "received_event": (ReceivedEvent, MEASURED_DECODER),
    "measured_turn": (MeasuredTurn, MEASURED_DECODER),
    "annotated_turn": (AnnotatedTurn, ANNOTATED_DECODER),
    "annotated_event": (AnnotatedEvent, ANNOTATED_DECODER),
    "call_summary": (CallSummary, SUMMARY_DECODER),
    "dead_letter": (DeadLetter, msgspec.json.Decoder(DeadLetter)),
}
FROM_CLIENTS = ("turn", "call_event")

PATHS = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
IDS = [str(path.relative_to(EXAMPLES)) for path in PATHS]
LIMITS = Limits(text_bytes=100_000, id_bytes=256, words=20_000, record_bytes=900_000)
NOW_US = 1_769_900_000_000_000


def loaded(path: Path) -> Any:
    _, decoder = RECORDS[path.parent.name]
    return decode(decoder, path.read_bytes())


def examples_of(record: str) -> list[Any]:
    return [loaded(path) for path in PATHS if path.parent.name == record]


def test_every_record_has_examples_and_every_folder_is_a_records() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(RECORDS)
    for record in RECORDS:
        assert list((EXAMPLES / record).glob("*.json")), record


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_file_is_an_example_named_by_its_case(path: Path) -> None:
    assert path.parent.parent == EXAMPLES, "schemas/examples/<record>/<case>.json"
    assert path.suffix == ".json"
    assert path.stem.replace("_", "").isalnum()
    assert path.stem.islower()


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_example_is_read_as_its_record(path: Path) -> None:
    assert type(loaded(path)) is RECORDS[path.parent.name][0]


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_example_written_again_is_the_same(path: Path) -> None:
    record = loaded(path)
    _, decoder = RECORDS[path.parent.name]
    assert decode(decoder, encode(record)) == record
    if path.parent.name not in FROM_CLIENTS:  # ours are written in one form; this finds fields nobody knows
        assert json.loads(encode(record)) == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.name in FROM_CLIENTS], ids=str)
def test_field_that_nobody_knows_is_refused(path: Path) -> None:
    _, decoder = RECORDS[path.parent.name]
    with pytest.raises(Refused, match="unknown field") as caught:
        decode(decoder, encode({**json.loads(path.read_bytes()), "speaker_name": "x"}))
    assert caught.value.field == "speaker_name"


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.name not in FROM_CLIENTS], ids=str)
def test_field_of_a_newer_version_is_passed_over(path: Path) -> None:
    """On the topics, new fields get defaults: an older reader goes on without them."""
    _, decoder = RECORDS[path.parent.name]
    assert decode(decoder, encode({**json.loads(path.read_bytes()), "of_next_year": {"a": [1]}})) == loaded(path)


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.name == "turn"], ids=str)
def test_turn_is_accepted(path: Path) -> None:
    accepted = accept_turn(loaded(path), workspace="default", received_at=NOW_US, limits=LIMITS)
    assert decode(RECEIVED_DECODER, accepted.encoded) == accepted.record


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.name == "call_event"], ids=str)
def test_event_is_accepted(path: Path) -> None:
    accepted = accept_event(loaded(path), call_id="call-1", workspace="default", received_at=NOW_US, limits=LIMITS)
    assert decode(RECEIVED_DECODER, accepted.encoded) == accepted.record


def test_every_type_of_event_has_its_example() -> None:
    assert {path.stem for path in PATHS if path.parent.name == "call_event"} == set(get_args(EventType))
    assert all(path.stem == loaded(path).type for path in PATHS if path.parent.name == "call_event")


def test_hashes_are_those_of_the_records() -> None:
    turns = [*examples_of("received_turn"), *(record.turn for record in examples_of("measured_turn"))]
    events = [*examples_of("received_event"), *(record.event for record in examples_of("annotated_event"))]
    for record in [*turns, *events]:
        assert with_content_hash(record) == record


def test_what_was_measured_is_listed() -> None:
    for record in examples_of("measured_turn"):
        numbers = [name for name in numeric_features() if getattr(record.features, name) is not None]
        assert record.measured == numbers
        assert (record.not_measured_reason is None) == bool(numbers)


def test_summaries_add_up() -> None:
    for summary in examples_of("call_summary"):
        assert summary.silence_ms == summary.duration_ms - summary.speech_ms
        assert summary.turns >= sum(said.turns for said in summary.participants)
        assert summary.overlap_ratio == (summary.overlap_ms / summary.speech_ms if summary.speech_ms else None)


def test_every_feature_has_an_example() -> None:
    features = [record.features for record in examples_of("measured_turn")]
    for name in Features.__struct_fields__:
        assert any(getattr(each, name) is not None for each in features), name


def test_contour_is_there_when_there_are_acoustics_and_reaches_over_the_turn() -> None:
    for record in examples_of("measured_turn"):
        assert (record.contour is None) == (record.not_measured_reason is not None)
        if record.contour:
            points = len(record.contour.f0)
            assert len(record.contour.level) == points
            assert 0 <= points * record.contour.hop_ms - 1000 * record.features.duration_s < record.contour.hop_ms


def test_z_is_of_features_that_were_measured() -> None:
    for annotated in examples_of("annotated_turn"):
        assert set(annotated.z) <= set(annotated.measured.measured)
        assert all(abs(z) <= 20 for z in annotated.z.values())


def test_annotated_examples_have_rows() -> None:
    for annotated in examples_of("annotated_turn"):
        assert turn_row(annotated).turn_id == annotated.measured.turn.turn_id
    for event in examples_of("annotated_event"):
        assert event_row(event).event_id == event.event.event_id
    for summary in examples_of("call_summary"):
        assert call_row(summary).state == summary.state


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_example_is_free_of_personal_data(path: Path) -> None:
    for text in strings(json.loads(path.read_bytes())):
        kind = personal_data_in(text)
        assert kind is None or all(character in "0123456789abcdef" for character in text), (text, kind)


def strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for child in children for text in strings(child)]
