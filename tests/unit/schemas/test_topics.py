"""The table of topics."""

import re

from schemas.topics import (
    ANNOTATED,
    CALL_STATE,
    DAY_MS,
    DEAD_LETTERS,
    EPOCHS,
    MAX_RECORD_BYTES,
    MEASURED,
    RECEIVED,
    SUMMARISED,
    TOPICS,
)


def test_names_are_unique_and_legal_in_kafka() -> None:
    names = [spec.name for spec in TOPICS]
    assert len(set(names)) == len(names) == 9
    assert all(re.fullmatch(r"[a-z.-]{1,249}", name) for name in names)


def test_a_call_is_in_one_partition_number_from_topic_to_topic() -> None:
    assert all(spec.partitioned_by_call for spec in (RECEIVED, MEASURED, ANNOTATED, SUMMARISED, CALL_STATE))
    assert not DEAD_LETTERS.partitioned_by_call
    assert not EPOCHS.partitioned_by_call


def test_retention_is_as_designed() -> None:
    days = {spec.name: None if spec.retention_ms is None else spec.retention_ms / DAY_MS for spec in TOPICS}
    assert days == {
        "turns.received": 35,
        "turns.measured": 35,
        "turns.annotated": 7,
        "calls.summarised": 7,
        "calls.state": None,
        "dead-letters": 90,
        "dead-letters.handled": 180,
        "dead-letters.counts": None,
        "topic-epochs": None,
    }


def test_what_is_kept_for_ever_is_compacted_and_nothing_else_is() -> None:
    for spec in TOPICS:
        assert (spec.retention_ms is None) == (spec.cleanup == "compact")


def test_dead_letter_of_the_greatest_record_fits() -> None:
    greatest = 900_000 * 4 / 3 + 4_096
    assert greatest < MAX_RECORD_BYTES
