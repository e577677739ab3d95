"""What makes two records the same thing, and which of two is newer."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.identity import (
    OFFSET_BITS,
    Position,
    default_event_id,
    default_turn_id,
    record_key,
    revision,
    with_content_hash,
)
from schemas.turn import ReceivedTurn, Role
from tests.records import received_event, received_turn

ROLES: list[Role] = ["user", "agent", "human_agent"]
IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
PARTS = st.tuples(IDS, st.sampled_from(ROLES), st.integers(0, 4_000_000_000_000))
POSITIONS = st.builds(Position, st.integers(0, 2**23 - 1), st.integers(0, 2**OFFSET_BITS - 1))


@given(PARTS, PARTS)
def test_default_turn_id_tells_apart_what_differs_and_nothing_else(
    one: tuple[str, Role, int], other: tuple[str, Role, int]
) -> None:
    assert (default_turn_id(*one) == default_turn_id(*other)) == (one == other)


def test_default_turn_id_stays_as_it_is() -> None:
    # Stored rows carry it: another would make every turn that is sent again a second turn.
    assert default_turn_id("caller-1", "user", 1_767_225_600_250) == "7ef2c0f393258fcfce547987388018e2"


def test_default_event_id_is_a_function_of_what_the_event_says() -> None:
    event = received_event(1000, "tool_call", data={"name": "lookup", "ms": 12})
    again = msgspec.structs.replace(event, received_at=event.received_at + 5, event_id="x", content_hash="y")
    assert default_event_id(again) == default_event_id(event)
    changes: list[dict[str, object]] = [
        {"at": event.at + 1},
        {"type": "error"},
        {"participant": "a"},
        {"data": {}},
        {"call_id": "c2"},
        {"workspace": "w2"},
    ]
    for change in changes:
        assert default_event_id(msgspec.structs.replace(event, **change)) != default_event_id(event)


def test_default_event_id_does_not_depend_on_the_order_of_keys() -> None:
    one = received_event(data={"a": 1, "b": 2})
    other = received_event(data={"b": 2, "a": 1})
    assert default_event_id(one) == default_event_id(other)
    assert one.content_hash == other.content_hash


def test_content_hash_covers_everything_but_received_at() -> None:
    turn = received_turn()
    assert with_content_hash(msgspec.structs.replace(turn, received_at=1)).content_hash == turn.content_hash
    for name in ReceivedTurn.__struct_fields__:
        if name not in ("received_at", "content_hash"):
            other = with_content_hash(msgspec.structs.replace(turn, **{name: object_for(name)}))
            assert other.content_hash != turn.content_hash, name


def object_for(name: str) -> object:
    return {"started_at": 5, "ended_at": 2**50, "words": [], "metadata": {"k": "v"}, "interrupted": True}.get(
        name, "other"
    )


def test_revision_received_later_wins_and_at_one_instant_the_greater_hash() -> None:
    early, late = received_turn(received=1), received_turn(received=2)
    assert revision(early) < revision(late)
    one, other = received_turn(text="a", received=1), received_turn(text="b", received=1)
    assert revision(one) != revision(other)
    assert max(one, other, key=revision).content_hash == max(one.content_hash, other.content_hash)


@given(one=POSITIONS, other=POSITIONS, one_closed=st.booleans(), other_closed=st.booleans())
@example(one=Position(0, 2**OFFSET_BITS - 1), other=Position(1, 0), one_closed=True, other_closed=False)
@example(one=Position(0, 0), other=Position(0, 1), one_closed=True, other_closed=False)
def test_version_rises_with_epoch_then_offset_then_closed(
    one: Position, other: Position, one_closed: bool, other_closed: bool
) -> None:
    first = (one.epoch, one.offset, one_closed)
    second = (other.epoch, other.offset, other_closed)
    one_version, other_version = one.version(closed=one_closed), other.version(closed=other_closed)
    assert (one_version < other_version) == (first < second)
    assert (one_version == other_version) == (first == second)
    assert (one < other) == ((one.epoch, one.offset) < (other.epoch, other.offset))


@given(POSITIONS, st.booleans())
def test_version_fits_an_unsigned_64_bit_integer(position: Position, closed: bool) -> None:
    assert 0 <= position.version(closed=closed) < 2**64


@given(st.tuples(IDS, IDS), st.tuples(IDS, IDS))
def test_record_key_tells_calls_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (record_key(*one) == record_key(*other)) == (one == other)


def test_record_key_is_workspace_unit_separator_call_id() -> None:
    assert record_key("default", "call-ü") == b"default\x1fcall-\xc3\xbc"
