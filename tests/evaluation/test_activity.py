"""Voice activity on annotated conversations; figures, and the noises that are only reported, in docs/accuracy.md."""

from __future__ import annotations

import pytest

from tests.evaluation import sample
from tests.evaluation.accuracy import CLEAN, TELEPHONE, Condition, activity_f1, energy, ours, webrtc
from tests.evaluation.corpus import call, meetings

WHITE_10 = Condition(snr_db=10.0)


@pytest.fixture(autouse=True, scope="module")
def annotated_call() -> None:
    sample.fetch()


@pytest.mark.parametrize("condition", [CLEAN, TELEPHONE])
@pytest.mark.parametrize("half", [1, None])
def test_speech_of_a_call_is_where_people_heard_it(condition: Condition, half: int | None) -> None:
    assert activity_f1(ours, condition, [call()], half=half) >= 0.97


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("bridged", [False, True])
def test_white_noise_costs_no_more_than_it_costs_webrtcvad(mode: int, bridged: bool) -> None:
    assert activity_f1(ours, WHITE_10, [call()]) >= activity_f1(webrtc(mode, bridged=bridged), WHITE_10, [call()])


def test_quiet_meetings_are_heard_better_than_by_the_energy_rule() -> None:
    assert activity_f1(ours, CLEAN, meetings()) > activity_f1(energy, CLEAN, meetings())
