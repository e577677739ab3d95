"""Turns to measure with: calls of two people, their turns interleaved with those of other calls as in production."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pipeline.gateway.accept import AcceptedTurn, Limits, accept_turn
from schemas.turn import Turn

TURNS_PER_CALL = 40
CALLS_AT_ONCE = 200
LIMITS = Limits(text_bytes=100_000, id_bytes=256, words=20_000, record_bytes=900_000)
WORDS = "well I would like to know when my order arrives because it was promised for Tuesday and nobody called".split()


def turns(count: int, *, seed: int, now_s: float) -> Iterator[Turn]:
    """`count` turns of calls with 40 turns each, 200 calls at a time; one turn in five overlaps the one before.

    now_s : epoch seconds at which the first calls end. The same seed gives the same turns.
    """
    chance = random.Random(seed)
    made = 0
    block = 0
    while made < count:
        calls = [_call(f"bench-{seed}-{block}-{number}", chance, now_s) for number in range(CALLS_AT_ONCE)]
        for step in range(TURNS_PER_CALL):
            for call in calls:
                if made == count:
                    return
                yield call[step]
                made += 1
        block += 1


def accepted(count: int, *, seed: int, now_s: float) -> Iterator[AcceptedTurn]:
    """The same turns as the gateway publishes them."""
    received_at = int(now_s * 1_000_000)
    for number, turn in enumerate(turns(count, seed=seed, now_s=now_s)):
        yield accept_turn(turn, workspace="bench", received_at=received_at + number, limits=LIMITS)


def _call(call_id: str, chance: random.Random, end_s: float) -> list[Turn]:
    at = end_s - 6 * TURNS_PER_CALL
    call = []
    for number in range(TURNS_PER_CALL):
        user = number % 2 == 0
        length = chance.uniform(0.4, 5.0)
        call.append(
            Turn(
                call_id=call_id,
                turn_id=str(number),
                participant="caller" if user else "agent",
                role="user" if user else "agent",
                text=" ".join(chance.choices(WORDS, k=max(1, round(2.5 * length)))),
                started_at=round(at, 3),
                ended_at=round(at + length, 3),
            )
        )
        at += length + (chance.uniform(-0.8, 0.0) if chance.random() < 0.2 else chance.uniform(0.1, 0.9))
    return call
