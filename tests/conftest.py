"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# No deadline: two cores are shared with other tests, and a slow example is no wrong one. The blob reproduces a failure.
settings.register_profile("mise", deadline=None, print_blob=True)
settings.load_profile("mise")
