"""What leaves the process, and when it is said to have happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from mise_observer import Sender, Turn
from mise_observer.notices import Notices
from mise_observer_pipecat.clock import Clock
from mise_observer_pipecat.delivery import Delivery, Switches
from mise_observer_pipecat.recording import Pcm
from mise_observer_pipecat.said import Said

SAID = Said(
    participant="user",
    role="user",
    text="My card is 4111 1111.",
    started_at=5.0,
    ended_at=6.5,
    audio=Pcm(np.arange(8_000, dtype=np.int16), 16_000, 5.0),
    language="en-US",
)


def made(switches: Switches) -> Turn:
    clock = Clock(monotonic=lambda: 5.0, wall=lambda: 1_764_000_005.0)
    turn = Delivery(Sender("http://127.0.0.1", "mv_key"), "call", clock, switches, Notices()).made(SAID)
    assert isinstance(turn, Turn)
    return turn


def test_everything_is_sent_unless_told_otherwise() -> None:
    turn = made(Switches())
    assert (turn.call_id, turn.participant, turn.role, turn.language) == ("call", "user", "user", "en-US")
    assert (turn.text, turn.started_at, turn.ended_at) == (SAID.text, 1_764_000_005.0, 1_764_000_006.5)
    assert turn.audio is not None
    assert turn.audio.data == np.arange(8_000, dtype="<i2").tobytes()
    assert (turn.audio.format, turn.audio.sample_rate) == ("pcm_s16le", 16_000)


def test_audio_and_text_can_be_kept_here() -> None:
    assert made(Switches(audio=False)).audio is None
    assert made(Switches(audio=False)).text == SAID.text
    assert made(Switches(text=False)).text == ""
    assert made(Switches(text=False)).audio is not None


def test_text_is_redacted() -> None:
    assert made(Switches(redact=lambda text: text.replace("4111 1111", "…"))).text == "My card is …."


def broken(text: str) -> str:
    raise ValueError(f"cannot redact {text}")


def without_answer(text: str) -> str:
    return cast(str, None if text else text)


@pytest.mark.parametrize("redact", [broken, without_answer])
def test_redaction_that_fails_sends_no_text_and_logs_none(
    redact: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mise_observer"):
        turn = made(Switches(redact=redact))
    assert turn.text == ""
    assert turn.audio is not None
    assert "redact_failed" in caplog.text
    assert "4111" not in caplog.text


def test_clock_that_is_set_in_mid_call_moves_nothing() -> None:
    wall, steady = [1_764_000_000.0], [100.0]
    clock = Clock(monotonic=lambda: steady[0], wall=lambda: wall[0])
    before = clock.epoch(clock.now())
    wall[0] += 3_600
    steady[0] += 10
    assert (before, clock.epoch(clock.now())) == (1_764_000_000.0, 1_764_000_010.0)
