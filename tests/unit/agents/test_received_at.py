"""A `received_at` that no gateway stamped must not move the stream's time."""

import pytest

from agents.delivery import AHEAD_MS, Record, check_received_at
from schemas.errors import Refused

NOW_MS = 1_767_225_600_000
RECORD = Record("turns.received", 0, 0, NOW_MS, b"k", b"v")


@pytest.mark.parametrize("ms", [0, NOW_MS - 10**9, NOW_MS, NOW_MS + AHEAD_MS])
def test_past_and_present_are_taken(ms: int) -> None:
    check_received_at(RECORD, ms * 1000)


@pytest.mark.parametrize("ms", [-1, NOW_MS + AHEAD_MS + 1, 10**15])
def test_future_and_before_the_epoch_are_refused(ms: int) -> None:
    with pytest.raises(Refused, match="received_at") as caught:
        check_received_at(RECORD, ms * 1000)
    assert caught.value.reason == "time_out_of_range"
