"""The files that are made from the code are the ones that the code makes."""

from pathlib import Path

import pytest

from deploy.generate import generated

ROOT = Path(__file__).parents[3]
FILES = dict(generated(ROOT))


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_generated_file_is_fresh(path: Path) -> None:
    assert path.read_text() == FILES[path], "stale: run python -m deploy.generate"


def test_every_json_schema_is_generated() -> None:
    assert set((ROOT / "schemas" / "json").iterdir()) <= set(FILES)


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [part.partition(")")[0].partition("#")[0] for part in page.read_text().split("](")[1:]]
    local = [target for target in targets if target and not target.startswith("http")]
    assert [target for target in local if not (page.parent / target).exists()] == []
