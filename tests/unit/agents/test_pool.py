"""The pool of measuring processes, with processes that really end."""

import asyncio
import os
import signal

import pytest

from agents.pool import Crashed, Pool


def double_or_die(number: int) -> int:
    """Twice the number; a negative one takes the process down, as a codec's segmentation fault would."""
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 0:
        raise ValueError("zero")
    return 2 * number


async def test_crash_costs_no_call_but_its_own() -> None:
    pool = Pool(double_or_die, 2)
    try:
        results = await asyncio.gather(*(pool.run(number) for number in (1, 2, -1, 3, 4)), return_exceptions=True)
        assert isinstance(results[2], Crashed)
        assert [result for result in results if not isinstance(result, Crashed)] == [2, 4, 6, 8]
        assert await pool.run(5) == 10, "the pool serves on"
    finally:
        await pool.close()


async def test_what_the_function_raises_is_raised() -> None:
    pool = Pool(double_or_die, 1)
    try:
        with pytest.raises(ValueError, match="zero"):
            await pool.run(0)
    finally:
        await pool.close()
