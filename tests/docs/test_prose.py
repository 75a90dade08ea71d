"""What the prose of the docs names is there: files of the repository, words of the glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bzz.audit import Operation

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    path for path in (ROOT / "docs").rglob("*.rst") if "_build" not in path.relative_to(ROOT).parts
)
FILE = re.compile(r"``((?:bzz|tests|docs|benchmarks|tools|examples)/[\w/.-]+\.\w+)``")


def files_named() -> list[object]:
    found = [(path, name) for path in PAGES for name in FILE.findall(path.read_text())]
    return [pytest.param(name, id=f"{path.stem}-{name}") for path, name in found]


@pytest.mark.parametrize("name", files_named())
def test_a_file_that_is_named_is_there(name):
    assert (ROOT / name).is_file()


def test_each_guarantee_names_the_tests_that_hold_it():
    page = (ROOT / "docs/explanation/guarantees.rst").read_text()
    rows = page.split("   * - ")[2:]

    assert len(rows) >= 9
    assert [] == [row.split("\n")[0] for row in rows if not re.search(r"``tests/\S+\.py``", row)]


def test_each_operation_is_in_the_glossary():
    glossary = (ROOT / "docs/glossary.rst").read_text()

    assert ", ".join(Operation) in glossary
