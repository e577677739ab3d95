"""A speech service that says of each word when it is spoken: cut off, its turn has the words until then."""

from __future__ import annotations

import base64

from bed import RATE, Call, call, clip, observed_by
from pipecat.frames.frames import EndFrame
from scripted import ScriptedGateway

from mise_observer_pipecat import MiseObserver

SCRIPT = [clip(4), clip(10)]


async def cut_in(made: Call) -> None:
    await made.world.agent_has_spoken(0, 2.0)
    await made.world.say(clip(11))
    await made.world.silence(2.0)
    await made.worker.queue_frame(EndFrame())


async def test_words_whose_time_had_come_were_heard(gateway: ScriptedGateway) -> None:
    observer = MiseObserver(gateway.url, "mv_key", call_id="a-call")
    await call(observed_by([observer]), [SCRIPT], words=True).run(cut_in)
    (turn,) = [turn for turn in gateway.turns if turn["role"] == "agent"]
    heard_s = len(base64.b64decode(turn["audio_b64"])) / 2 / RATE
    before_s = len(SCRIPT[0].samples) / RATE
    words = SCRIPT[0].words + [(word, before_s + at) for word, at in SCRIPT[1].words]
    heard = [word for word, at in words if at <= heard_s]
    assert turn["interrupted"]
    assert len(SCRIPT[0].words) < len(heard) < len(words)
    # The service counts from when it hands the first sound on, the output from when it plays it.
    assert abs(len(turn["text"].split()) - len(heard)) <= 1
    assert " ".join(word for word, _ in words).startswith(turn["text"])
