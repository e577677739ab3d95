"""Text of callers and senders, for a terminal."""

from __future__ import annotations

import re

from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: str) -> Text:
    """The text as it is: no markup (`[laughter]` is a word), no control characters (they could drive the terminal)."""
    return Text(_CONTROL.sub("\ufffd", text.replace("\n", " ").replace("\t", " ")))
