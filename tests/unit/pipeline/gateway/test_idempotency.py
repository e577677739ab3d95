"""The same request under the same key gets the same answer, and is handled once."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.gateway.idempotency import Answer, Answers
from schemas.errors import Refused, Unavailable

KEY = ("default", "/v1/turns", "k1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Handler:
    """Counts its calls; answers with the number of the call, once `release` is set."""

    def __init__(self, *, final: bool = True, error: BaseException | None = None) -> None:
        self.calls = 0
        self.release = asyncio.Event()
        self.release.set()
        self.final = final
        self.error = error

    async def __call__(self) -> Answer:
        self.calls += 1
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return Answer(202, str(self.calls).encode(), self.final)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(clock: Clock) -> Answers:
    return Answers(clock, kept=3, kept_s=60)


async def test_same_request_again_gets_the_same_answer(answers: Answers) -> None:
    handler = Handler()
    first = await answers.once(KEY, b"body", handler)
    assert await answers.once(KEY, b"body", handler) == first == Answer(202, b"1")
    assert handler.calls == 1


async def test_other_key_is_another_request(answers: Answers) -> None:
    handler = Handler()
    for key in (KEY, ("other", *KEY[1:]), (*KEY[:2], "k2")):
        await answers.once(key, b"body", handler)
    assert handler.calls == 3


async def test_other_body_under_a_key_is_refused(answers: Answers) -> None:
    handler = Handler()
    await answers.once(KEY, b"body", handler)
    with pytest.raises(Refused, match="another body") as caught:
        await answers.once(KEY, b"other", handler)
    assert (caught.value.field, caught.value.reason) == ("Idempotency-Key", "idempotency_key_reused")
    assert await answers.once(KEY, b"body", handler) == Answer(202, b"1")


async def test_concurrent_requests_are_handled_once(answers: Answers) -> None:
    handler = Handler()
    handler.release.clear()
    waiting = [asyncio.create_task(answers.once(KEY, b"body", handler)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Refused):
        async with asyncio.timeout(5):  # were it taken for the same request, it would wait for ever
            await answers.once(KEY, b"other", handler)
    handler.release.set()
    assert set(await asyncio.gather(*waiting)) == {Answer(202, b"1")}
    assert handler.calls == 1


@pytest.mark.parametrize("error", [Refused("no"), Unavailable("away")])
async def test_error_is_not_kept(answers: Answers, error: Exception) -> None:
    failing, handler = Handler(error=error), Handler()
    with pytest.raises(type(error)):
        await answers.once(KEY, b"body", failing)
    assert await answers.once(KEY, b"other", handler) == Answer(202, b"1")


async def test_error_reaches_everyone_who_waits(answers: Answers) -> None:
    handler = Handler(error=Unavailable("away"))
    handler.release.clear()
    waiting = [asyncio.create_task(answers.once(KEY, b"body", handler)) for _ in range(3)]
    await asyncio.sleep(0)
    handler.release.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [Unavailable] * 3
    assert handler.calls == 1


async def test_answer_of_which_a_part_may_be_sent_again_is_not_kept(answers: Answers) -> None:
    handler = Handler(final=False)
    await answers.once(KEY, b"body", handler)
    await answers.once(KEY, b"body", handler)
    assert handler.calls == 2


async def test_request_broken_off_frees_its_key_and_asks_the_others_to_try_again(answers: Answers) -> None:
    handler = Handler()
    handler.release.clear()
    first = asyncio.create_task(answers.once(KEY, b"body", handler))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.once(KEY, b"body", handler))
    await asyncio.sleep(0)
    first.cancel()
    found = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError, Unavailable]
    handler.release.set()
    assert await answers.once(KEY, b"body", handler) == Answer(202, b"2")


async def test_waiting_client_that_goes_away_breaks_nothing_off(answers: Answers) -> None:
    handler = Handler()
    handler.release.clear()
    first = asyncio.create_task(answers.once(KEY, b"body", handler))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.once(KEY, b"body", handler))
    await asyncio.sleep(0)
    second.cancel()
    handler.release.set()
    assert await first == Answer(202, b"1")
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_answer_is_kept_for_its_time(answers: Answers, clock: Clock) -> None:
    handler = Handler()
    await answers.once(KEY, b"body", handler)
    clock.now += 59
    await answers.once(KEY, b"body", handler)
    assert handler.calls == 1
    clock.now += 1
    await answers.once(KEY, b"body", handler)
    assert handler.calls == 2


async def test_oldest_answers_go_first(answers: Answers) -> None:
    handler = Handler()
    for name in "abcd":
        await answers.once((name,), b"", handler)
    assert len(answers._answers) == 3
    await answers.once(("d",), b"", handler)
    assert handler.calls == 4
    await answers.once(("a",), b"", handler)
    assert handler.calls == 5
