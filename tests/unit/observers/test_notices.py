"""Log lines that can't flood."""

from __future__ import annotations

import pytest

from mise_observer.notices import EVERY_S, KINDS, Notices


def test_first_at_once_then_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    notices = Notices(lambda: now)
    for _ in range(5):
        notices.warn("refused", "text", reason="too_large")
    notices.warn("refused", "other", reason="empty")
    now = EVERY_S
    notices.warn("refused", "text", reason="too_large")
    notices.warn("refused", "text", count=0)
    assert caplog.messages == [
        "refused count=1 reason='too_large'",
        "refused count=1 reason='empty'",
        "refused count=5 reason='too_large'",
    ]


def test_kinds_are_bounded() -> None:
    notices = Notices(lambda: 0.0)
    for kind in range(3 * KINDS):
        notices.warn("refused", str(kind))
    assert len(notices._said) <= KINDS
