"""What leaves the process, and when it is said to have happened."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from mise_observer import CallEvent, Sender, Turn
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import PENDING, PENDING_BYTES, Outbox
from mise_observer.recording import Pcm
from mise_observer.switches import Switches
from mise_observer_pipecat.delivery import Delivery, Happening
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


def delivery(switches: Switches) -> Delivery:
    clock = Clock(monotonic=lambda: 5.0, wall=lambda: 1_764_000_005.0)
    notices = Notices()
    return Delivery(Outbox(Sender("http://127.0.0.1", "mv_key"), notices), "call", clock, switches, notices)


def made(switches: Switches) -> Turn:
    turn = delivery(switches).made(SAID)
    assert isinstance(turn, Turn)
    return turn


def test_everything_is_sent_unless_told_otherwise() -> None:
    turn = made(Switches())
    assert (turn.call_id, turn.participant, turn.role, turn.language) == ("call", "user", "user", "en-US")
    assert turn.turn_id == SAID.turn_id
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


def test_of_what_waits_for_a_redaction_the_oldest_audio_is_given_up_and_no_text() -> None:
    asked, released = threading.Event(), threading.Event()

    def redact(text: str) -> str:
        asked.set()
        released.wait()
        return text

    out = delivery(Switches(redact=redact))
    out.turn(SAID)
    asked.wait()
    seconds = Pcm(np.zeros(160_000, np.int16), 16_000, 5.0)
    turns = PENDING_BYTES // seconds.samples.nbytes + 2
    for number in range(turns):
        out.turn(replace(SAID, text=str(number), audio=seconds))
    assert out.stats.dropped_audio >= 2
    assert out.stats.dropped_turns == 0
    for _ in range(2 * PENDING):
        out.event("system", 5.0)
    assert (out.stats.dropped_turns, out.stats.dropped_events) == (turns, PENDING)
    released.set()


def test_reason_that_somebody_gave_is_text_too() -> None:
    happening = Happening("call_ended", 5.0, None, {}, reason="Bob hung up")
    reasons = []
    for switches in (Switches(), Switches(redact=lambda text: text.replace("Bob", "…")), Switches(text=False)):
        event = delivery(switches).made(happening)
        assert isinstance(event, CallEvent)
        reasons.append(event.data)
    assert reasons == [{"reason": "Bob hung up"}, {"reason": "… hung up"}, {"reason": "not told"}]
