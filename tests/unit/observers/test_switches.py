"""What of a text leaves the process."""

from __future__ import annotations

import logging

import pytest

from mise_observer.notices import Notices
from mise_observer.switches import Switches


def failing(text: str) -> str:
    raise RuntimeError(f"can't redact {text}")


def test_text_is_sent_as_it_is_or_redacted_or_not_at_all() -> None:
    notices = Notices()
    assert Switches().text_of("my card", notices) == "my card"
    assert Switches(redact=str.upper).text_of("my card", notices) == "MY CARD"
    assert Switches(text=False, redact=str.upper).text_of("my card", notices) == ""


@pytest.mark.parametrize("redact", [failing, lambda _: None, str.encode])
def test_text_is_never_sent_or_logged_when_its_redaction_fails(
    redact: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert Switches(redact=redact).text_of("my card is 4711", Notices()) == ""  # type: ignore[arg-type]
    assert "redact_failed" in caplog.text
    assert "4711" not in caplog.text
