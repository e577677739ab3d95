"""Everything once for the whole session; each run has calls of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.chaos.stack import Stack, running


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A Mise Voice that runs. A test that disturbs it returns when it is whole again."""
    async with running(tmp_path_factory.mktemp("chaos")) as running_stack:
        yield running_stack
