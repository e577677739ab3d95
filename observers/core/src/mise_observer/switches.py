"""What of a call leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mise_observer.notices import Notices

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Switches:
    """audio, text : whether it is sent at all. redact : gets every text, and returns what is sent of it."""

    audio: bool = True
    text: bool = True
    redact: Redact | None = None

    def text_of(self, text: str, notices: Notices) -> str:
        """What is sent of a text; nothing of it when the redaction fails, which `notices` tells. Raises nothing."""
        if not self.text:
            return ""
        if self.redact is None or not text:
            return text
        try:
            redacted: object = self.redact(text)
            if isinstance(redacted, str):
                return redacted
            failed = f"it returned {type(redacted).__name__}"
        except Exception as error:
            failed = type(error).__name__  # its message may hold the text
        notices.warn("redact_failed", detail="sent without text", error=failed)
        return ""
