"""What goes wrong in the observer is the observer's."""

from __future__ import annotations

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
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "observer_failed count=1 error='TypeError'"
