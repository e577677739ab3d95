"""Settings for all tests."""

import pytest
from hypothesis import settings

# A busy machine is no failure; a failure says how to see it again.
settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")

ORDER = ("unit", "evaluation", "contract", "integration", "chaos", "livekit")
"""The fast ones first, whatever order they have inside."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order by folder what is shuffled already."""
    tests = config.rootpath / "tests"
    items.sort(key=lambda item: ORDER.index(item.path.relative_to(tests).parts[0]))
