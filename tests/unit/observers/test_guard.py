"""What goes wrong in the observer is the observer's."""

from __future__ import annotations

import re

import pytest

from mise_observer.guard import Guard
from mise_observer.notices import Notices


def test_callback_that_raises_is_told_in_the_log_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(word: str) -> None:
        heard.append(word)
        raise TypeError

    guarded = Guard(Notices())(broken)
    guarded("one")
    guarded("two")
    assert heard == ["one", "two"]
    (line,) = caplog.messages
    assert re.fullmatch(r"observer_failed count=1 error='TypeError' at=test_guard.py:\d+", line)


def test_what_an_exception_quotes_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    roles: dict[str, str] = {}
    Guard(Notices())(lambda: roles["sip_+15105550100"])()
    assert "KeyError" in caplog.text
    assert "5105550100" not in caplog.text
