"""What the observer for LiveKit costs callers and agents: `make bench-livekit`, in the network namespace of its tests.

Response: from the true end of the caller's speech, and from when the agent took him for silent, to the first sample of
its answer on the track that is sent, in real rooms; agents without an observer, and with one whose gateway is well,
away, or takes 5 s for each answer, in turns. Load: many sessions in one process, without rooms or each in one of its
own; not observed, and observed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.measurements import Measurement, report
from deploy.embedded.ports import free_port
from tests.livekit.calls import Stack, direct, python_of, stacked
from tests.livekit.conversation import FIRST, RATE, SHORT, Observed, Script
from tests.livekit.processes import spawn, stop
from tests.livekit.relay import relaying
from tests.livekit.truth import each_sent_at

ROUNDS = 2
TURNS = 5
"""Of a call; 10 of each kind."""

GATEWAYS = ("none", "well", "away", "slow")
IN_ROOMS = 10
"""Sessions of a process. Callers, server and stages are on the same two cores: with twenty the voices break off."""
ALONE = 20
"""Sessions of a process, without rooms."""
FAKES = Path("observers/livekit/tests").resolve()
TALK_S = 35.0


class Response(NamedTuple):
    """Until the answer's first sample: from the true end of the caller's speech; from what the agent took for it."""

    from_end_ms: float
    from_silence_ms: float


async def responses(stack: Stack, gateway: str) -> list[Response]:
    """Of the turns of one call."""
    with relaying(stack.observed.endpoint) if gateway == "slow" else nullcontext() as relay:
        observed: Observed | None = stack.observed
        if gateway == "none":
            observed = None
        elif gateway == "away":
            observed = Observed(f"http://127.0.0.1:{free_port()}", "key")
        elif relay is not None:
            relay.fault = "slow"
            observed = Observed(relay.url, stack.observed.api_key)
        ends: list[float] = []
        hears = (FIRST.text,) * TURNS
        async with (
            direct(stack, observed=observed, greeting=None, replies=(SHORT.text,), hears=hears) as call,
            call.caller() as caller,
        ):
            for _ in range(TURNS):
                ends.append((await caller.says(FIRST)).ended_at)
                await caller.hears()
                await caller.hears_nothing()
            await caller.do("leave")
        answers = each_sent_at(SHORT.samples[: 2 * RATE], call.sent)
        silences = [float(event["at"]) for event in call.told("user_state", state="listening")]
    return [
        Response(1000 * (answer - end), 1000 * (answer - silence))
        for answer, end, silence in zip(answers, ends, silences, strict=True)
    ]


async def measure_responses(stack: Stack) -> list[Measurement]:
    found: dict[str, list[Response]] = defaultdict(list)
    for _ in range(ROUNDS):
        for gateway in GATEWAYS:
            found[gateway] += await responses(stack, gateway)
    return [
        *_compared("response", {gateway: [one.from_end_ms for one in taken] for gateway, taken in found.items()}),
        *_compared(
            "response from silence",
            {gateway: [one.from_silence_ms for one in taken] for gateway, taken in found.items()},
        ),
    ]


def _compared(name: str, found: dict[str, list[float]]) -> list[Measurement]:
    """Each beside those of the agent that nobody observes."""
    alone = found["none"]
    names = {"none": "no observer", **{gateway: f"observer, gateway {gateway}" for gateway in GATEWAYS[1:]}}
    return [
        Measurement(
            name=f"{name}, {names[gateway]}",
            value=median(taken),
            unit="ms",
            how=f"median of {len(taken)} turns; longest {max(taken):.0f} ms; "
            f"{median(taken) - median(alone):+.1f} and {max(taken) - max(alone):+.1f} ms",
            limit=None if gateway == "none" else "+20 and +50",
        )
        for gateway, taken in found.items()
    ]


def planned(stack: Stack, folder: Path, sessions: int, *, observed: bool) -> str:
    """Path of the plan for `bench.crowd`."""
    folder.mkdir()
    rooms = []
    for number in range(sessions):
        room = f"{folder.name}-{number}"
        script = Script(
            folder=str(folder / room),
            observed=stack.observed if observed else None,
            greeting=None,
            replies=(SHORT.text,),
            hears=(FIRST.text,) * 20,
        )
        tokens = {
            who: stack.server.joining(room, f"{room}-{who}", kind=kind)["LIVEKIT_TOKEN"]
            for who, kind in (("agent", "agent"), ("caller", "standard"))
        }
        rooms.append({**tokens, "script": str(script.write())})
    plan = folder / "plan.json"
    said = str(FIRST.write(folder))
    plan.write_text(json.dumps({"url": stack.server.url, "rooms": rooms, "file": said, "seconds": TALK_S}))
    return str(plan)


async def crowd(stack: Stack, folder: Path, *, in_rooms: bool, observed: bool) -> dict[str, float]:
    """What one process with all sessions took."""
    folder = folder / f"{'rooms' if in_rooms else 'alone'}-{'observed' if observed else 'unobserved'}"
    plan = planned(stack, folder, IN_ROOMS if in_rooms else ALONE, observed=observed)
    command = [str(python_of("newest")), "-m", "bench.crowd"]
    environ = {"PYTHONPATH": str(FAKES)}
    what = "agents" if in_rooms else "alone"
    agents = await spawn([*command, what, plan], folder / "agents.log", environ, talks=True)
    callers = None
    try:
        assert agents.stdout is not None
        if in_rooms:
            assert json.loads(await agents.stdout.readline()) == {"ready": True}
            callers = await spawn([*command, "callers", plan], folder / "callers.log", environ)
        ending = asyncio.create_task((callers or agents).wait())
        measured = asyncio.create_task(agents.stdout.readline())
        await asyncio.wait({measured, ending}, return_when=asyncio.FIRST_COMPLETED)
        logs = [log.read_text() for log in folder.glob("*.log")]
        assert measured.done() or not callers, f"a caller failed: {logs}"
        line = await measured
        assert line, f"the agents failed: {logs}"
        found: dict[str, float] = json.loads(line)
        return found
    finally:
        for process in (agents, callers):
            if process is not None:
                await stop(process, within_s=1.0)


async def measure_crowd(stack: Stack, folder: Path, *, in_rooms: bool) -> list[Measurement]:
    without = await crowd(stack, folder, in_rooms=in_rooms, observed=False)
    with_one = await crowd(stack, folder, in_rooms=in_rooms, observed=True)
    sessions, where = (IN_ROOMS, "in a room") if in_rooms else (ALONE, "without a room")
    how = f"of {sessions} in one process, {TALK_S:.0f} s of talk; {{:.0f}} answers, {{:.0f}} turns and events sent"
    return [
        measurement
        for name, found in (("no observer", without), ("observer", with_one))
        for measurement in (
            Measurement(
                name=f"CPU of a call {where}, {name}",
                value=1000 * found["cpu_s"] / found["wall_s"] / sessions,
                unit="ms/s",
                how=how.format(found["answers"], found["sent"]),
            ),
            Measurement(
                name=f"memory of a call {where}, {name}",
                value=found["peak_mib"] / sessions,
                unit="MiB",
                how=f"greatest RSS of the process, {found['peak_mib']:.0f} MiB, by its calls",
            ),
        )
    ]


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with stacked(folder) as stack:
            report(
                [
                    *await measure_crowd(stack, folder, in_rooms=False),
                    *await measure_crowd(stack, folder, in_rooms=True),
                    *await measure_responses(stack),
                ]
            )


if __name__ == "__main__":
    asyncio.run(main())
